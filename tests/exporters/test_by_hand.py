"""What an export writes beside its embeddings: cosines do not tell a wrong temperature or a missing normalization."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer, models, pre_tokenizers

from polyclip.exporters.run import export
from polyclip.exporters.tokenizer import write_tokenizer
from polyclip.models.aligner import load_model
from polyclip.models.text_encoder import TokenizerSpec

pytestmark = pytest.mark.filterwarnings("ignore")  # of the libraries that runs are exported to


@pytest.mark.parametrize(("limit", "longest"), [(None, 48), (20, 20), (100, 48)])
def test_the_tokenizer_has_the_encoders_limit_and_prefix(limit: int | None, longest: int, tmp_path: Path) -> None:
    words = Tokenizer(models.WordLevel({"<pad>": 0, "query:": 1, "paka": 2, "<unk>": 3}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    spec = TokenizerSpec(words, "query: ", 48, {"pad_token": "<pad>", "unk_token": "<unk>"})
    found = write_tokenizer(SimpleNamespace(tokenizer_spec=spec), tmp_path, "a", limit)
    assert found.model_max_length == longest and found.padding_side == "right"
    assert json.loads((tmp_path / "tokenizer_config.json").read_text("utf-8"))["model_max_length"] == longest
    assert found("paka paka")["input_ids"] == [1, 2, 2]


def test_open_clip_has_the_runs_temperature(tiny: Callable[[str], Path], tmp_path: Path, in_process: None) -> None:
    pytest.importorskip("open_clip")
    run = tiny("lora")
    export(run, "open_clip", tmp_path / "out")
    scale = load_file(tmp_path / "out" / "open_clip_model.safetensors")["logit_scale"]
    torch.testing.assert_close(scale.exp(), load_model(run).scale().detach())


def test_sentence_transformers_gives_unit_vectors(
    tiny: Callable[[str], Path], tmp_path: Path, in_process: None, capfd: pytest.CaptureFixture[str]
) -> None:
    library = pytest.importorskip("sentence_transformers")
    export(tiny("heads"), "sentence-transformers", tmp_path / "out")
    said = capfd.readouterr()
    assert [word for word in ("shards", "MISSING") if word in said.out + said.err] == []
    found = library.SentenceTransformer(str(tmp_path / "out"), device="cpu").encode(["red", "kubwa sana"])
    torch.testing.assert_close(torch.tensor(found).norm(dim=1), torch.ones(2), atol=1e-4, rtol=0)
