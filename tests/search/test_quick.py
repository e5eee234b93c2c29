"""A query without torch: the same tokens, the same embedding, and only where the model is one that it can run."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

from polyclip.core.toml import CORPORA
from polyclip.data.readers import emoji
from polyclip.models.aligner import PolyCLIP
from polyclip.models.backbone import describe
from polyclip.models.config import ModelConfig
from polyclip.models.e5_file import PREFIX
from polyclip.search import build
from polyclip.search.folder import search_index
from polyclip.search.index import Index
from polyclip.search.quick.embed import embed_text, find_weights, get_folder
from polyclip.search.quick.tokens import Pieces, tokenize, write_pieces
from polyclip.search.quick_search import search_quickly
from tests.command import polyclip as command
from tests.toy import write_text_encoder, write_vision_tower

ODD = [
    "",
    "<s>",
    "</s> x",
    "  two  spaces ",
    "\u200b\u200c",
    "a" * 600,
    "xyz " * 700,
    "𠀀𠀁 ༃ 🫠",
    "e\u0301 é",
    "ﬁne ①",
    "ＡＢＣ",
]


@pytest.fixture(scope="module")
def ready(one_cache: Path) -> Path:
    """The encoder's weights are verified, and its vocabulary is sorted."""
    describe("encoders", "e5-small").build()
    return write_pieces()


@pytest.fixture(scope="module")
def captions() -> list[str]:
    return [
        row.captions[0]
        for locale in emoji.languages(CORPORA / "emoji")
        for row in emoji.read(CORPORA / "emoji", locale, "validation")[::20]
    ]


def save(folder: Path, **given: Any) -> PolyCLIP:
    """A model with untrained heads, in a run folder."""
    settings = {"text_encoder": "e5-small", "vision_tower": "efficientnet-lite0:,size=64", "method": "heads", "dim": 16}
    model = PolyCLIP(ModelConfig(**settings | given)).eval()
    with torch.no_grad():
        for side in (model.text, model.vision):
            for name, tensor in side.head.state_dict().items():
                tensor.copy_(torch.rand_like(tensor) + 0.5 if "deviation" in name or "lengths" in name else tensor)
                if name in ("mean", "names.inner", "names.inner_bias", "names.outer", "space"):
                    tensor.copy_(torch.randn_like(tensor) * 0.3)
    folder.mkdir()
    model.save(folder / "aligner.safetensors")
    return model


def test_tokens_of_every_language(ready: Path, captions: list[str]) -> None:
    whole, pieces = Tokenizer.from_file(str(get_folder() / "tokenizer.json")), Pieces(ready)
    assert len(captions) > 1000
    for text in (PREFIX + caption for caption in (*captions, *ODD)):
        assert tokenize(text, pieces) == whole.encode(text).ids, text


@pytest.mark.parametrize(
    "given",
    [
        {"method": "heads"},
        {"method": "heads", "dim": 8},
        {"method": "head-mlp"},
        {"method": "head-mlp", "name_units": 20, "name_dim": 12, "space": 30},
    ],
    ids=["one map", "eight dimensions", "hidden layer", "class names, folded"],
)
def test_the_embedding_is_the_models(ready: Path, captions: list[str], tmp_path: Path, given: dict[str, Any]) -> None:
    save(tmp_path / "run", **given)
    model = PolyCLIP.from_pretrained(tmp_path / "run", dtype=torch.float32, device="cpu")
    chosen = captions[:: len(captions) // 12]
    for text, wanted in zip(chosen, model.encode_text(chosen), strict=True):
        found = embed_text(tmp_path / "run", text)
        assert found is not None and found.dtype == np.float32
        torch.testing.assert_close(torch.from_numpy(found), wanted, atol=2e-6, rtol=1e-4)


@pytest.mark.parametrize("method", ["lilt-ln", "lora", "asif", "head-glu"])
def test_other_text_sides_are_left_to_torch(ready: Path, tmp_path: Path, method: str) -> None:
    save(tmp_path / "run", method=method, **({"anchors": 8} if method == "asif" else {}))
    assert embed_text(tmp_path / "run", "mbwa") is None


def test_another_encoder_is_left_to_torch(ready: Path, tmp_path: Path) -> None:
    tower = write_vision_tower(tmp_path)
    save(tmp_path / "toy", text_encoder=write_text_encoder(tmp_path / "xlm-r"), vision_tower=tower)
    save(tmp_path / "cut", text_encoder="e5-small:,layers=3")
    assert embed_text(tmp_path / "toy", "mbwa") is None and embed_text(tmp_path / "cut", "mbwa") is None


def test_weights_that_changed_since_they_were_verified_are_left_to_torch(
    ready: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    note = get_folder() / "model.verified"
    assert find_weights() == get_folder() / "model.safetensors"
    before = note.read_text("utf-8")
    try:
        note.write_text("1 2 3", "utf-8")
        assert find_weights() is None
    finally:
        note.write_text(before, "utf-8")
    monkeypatch.setenv("POLYCLIP_CACHE", str(tmp_path))
    assert find_weights() is None


def test_a_damaged_model_is_left_to_torch(ready: Path, tmp_path: Path) -> None:
    save(tmp_path / "run")
    path = tmp_path / "run" / "aligner.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert embed_text(tmp_path / "run", "mbwa") is None
    path.write_bytes(whole)
    state = load_file(path)
    save_file(state | {"text.head.other": torch.zeros(1)}, path)
    assert embed_text(tmp_path / "run", "mbwa") is None


def test_nothing_heavy_is_imported(ready: Path, tmp_path: Path) -> None:
    save(tmp_path / "run")
    code = (
        "import json, sys; from pathlib import Path; from polyclip.search.quick import embed_text; "
        "found = embed_text(Path(sys.argv[1]), 'mbwa'); print(json.dumps([found is not None, *sys.modules]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "run")], capture_output=True, text=True, check=True
    )
    found, *modules = json.loads(done.stdout)
    assert found and not {"torch", "transformers", "timm", "jaxtyping", "PIL"} & set(modules)


@pytest.fixture(scope="module")
def index(ready: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of twenty emoji by a model with untrained heads; returns the folder of images."""
    folder = tmp_path_factory.mktemp("quick")
    (folder / "images").mkdir()
    drawn = emoji.pictures(CORPORA / "emoji", "noto")
    for name in sorted(drawn)[:20]:
        drawn[name].open().save(folder / "images" / f"{name}.png")
    save(folder / "run", method="head-mlp")
    said = command("index", folder / "images", "--model", folder / "run")
    assert said.code == 0, said
    return folder / "images"


@pytest.mark.parametrize("query", ["mbwa mweusi", "ein Hund", "कुत्ता", "🐕", "x"])
def test_the_result_is_that_of_torch(index: Path, query: str) -> None:
    wanted = search_index(query, Index.open(index), 20)
    found = search_quickly(query, index, None, None, 20, "")
    assert found is not None
    assert [hit.path for hit in found.hits] == [hit.path for hit in wanted.hits]
    for first, second in zip(found.hits, wanted.hits, strict=True):
        assert first.similarity == pytest.approx(second.similarity, abs=2e-6)
    assert (found.language, found.hint, found.root) == (wanted.language, wanted.hint, wanted.root)
    assert found.confidence is not None and wanted.confidence is not None
    assert found.confidence.confidence == pytest.approx(wanted.confidence.confidence, abs=1e-4)


def test_the_command_imports_no_torch(index: Path) -> None:
    code = "import sys; from polyclip.cli.main import main; sys.argv[0] = 'polyclip'; main()"
    spy = f"import atexit, sys; atexit.register(lambda: print('torch' in sys.modules, file=sys.stderr)); {code}"
    done = subprocess.run(
        [sys.executable, "-c", spy, "search", "mbwa", "--index", str(index), "--json"], capture_output=True, text=True
    )
    assert done.returncode == 0 and done.stderr.strip() == "False", done.stderr
    assert len(json.loads(done.stdout)["hits"]) == 12


def test_a_graph_is_searched_without_torch(index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "EXACT", 12)
    said = command("index", index, "--model", index.parent / "run", "--out", tmp_path / "graph")
    assert said.code == 0, said
    opened = Index.open(tmp_path / "graph")
    wanted = search_index("mbwa mweusi", opened, 5)
    found = search_quickly("mbwa mweusi", tmp_path / "graph", None, None, 5, "")
    assert opened.approximate and found is not None and found.recall == wanted.recall is not None
    assert [hit.path for hit in found.hits] == [hit.path for hit in wanted.hits]


def test_the_server_answers_its_first_query_without_torch(index: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from polyclip.search.server import collections, query, routes, waiting; "
        "from polyclip.search.server.policy import Hosts; collections.LATER = collections.REST = 1e6; "
        "catalog = collections.Catalog.open([Path(sys.argv[1])]); catalog.warm_up(); "
        "routes.build_application(catalog, Hosts('127.0.0.1')); "
        "(found,) = waiting.answer_together([query.parse_request(catalog, {'q': 'mbwa'})]); "
        "print(len(found.columns[0].hits), found.columns[0].confidence is None, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(index)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["20", "False", "False"], done


def test_errors_are_those_of_torch(index: Path, tmp_path: Path) -> None:
    for arguments, said in (
        (("mbwa", "--index", tmp_path), "is not an index"),
        (("\u200b", "--index", index), "visible"),
        (("mbwa", "--index", index, "--model", tmp_path), "aligner.safetensors not found"),
        (("mbwa", "--index", index, "--images", tmp_path / "gone"), "not a folder any more"),
    ):
        done = command("search", *arguments)
        assert done.code == 2 and said in " ".join(done.err.split()), done


def test_a_model_that_gives_no_numbers_is_left_to_torch(index: Path, tmp_path: Path) -> None:
    run = index.parent / "run"
    state = load_file(run / "aligner.safetensors")
    with safe_open(run / "aligner.safetensors", "pt") as handle:
        metadata = handle.metadata()
    (tmp_path / "bad").mkdir()
    for value in (float("nan"), 0.0):
        broken = {key: tensor * value if "text.head.members" in key else tensor for key, tensor in state.items()}
        save_file(broken, tmp_path / "bad" / "aligner.safetensors", metadata=metadata)
        assert embed_text(tmp_path / "bad", "mbwa") is None
