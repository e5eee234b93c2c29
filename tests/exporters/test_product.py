"""The product engineer's tutorial runs with one run; training, the list of methods and the server are left out."""

import re
import shlex
from importlib.util import find_spec
from pathlib import Path
from shutil import copytree
from typing import Any

import numpy as np
import pytest

from polyclip.errors import RunError
from polyclip.exporters.run import export
from polyclip.models.aligner import load_model
from tests.command import polyclip

PAGE = Path(__file__).parents[2] / "docs" / "tutorials" / "run-to-product.md"
pytestmark = [
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.skipif(not (find_spec("onnxruntime") and find_spec("open_clip")), reason="not installed: export"),
]


def immich_text(folder: Path, query: str) -> np.ndarray:
    """What immich feeds the graph of an OpenCLIP name: ids padded to the context length, one query; row 0 is taken."""
    import json

    import onnxruntime
    from tokenizers import Tokenizer

    length = json.loads((folder / "config.json").read_text("utf-8"))["text_cfg"]["context_length"]
    pad = json.loads((folder / "textual" / "tokenizer_config.json").read_text("utf-8"))["pad_token"]
    tokenizer = Tokenizer.from_file(str(folder / "textual" / "tokenizer.json"))
    tokenizer.enable_padding(length=length, pad_token=pad, pad_id=tokenizer.token_to_id(pad))
    tokenizer.enable_truncation(max_length=length)
    session = onnxruntime.InferenceSession(folder / "textual" / "model.onnx")
    found: np.ndarray = session.run(None, {"text": np.array([tokenizer.encode(query).ids], np.int32)})[0][0]
    return found


@pytest.mark.slow
def test_the_tutorial_runs(
    real: Path, emoji: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_process: None
) -> None:
    monkeypatch.chdir(tmp_path)
    copytree(real, "runs/sw")
    Path("photos").mkdir()
    for path in sorted(emoji.parent.glob("*.png"))[:4]:
        (Path("photos") / path.name).write_bytes(path.read_bytes())
    names: dict[str, Any] = {}
    blocks = re.findall(r"^```(python|sh)\n(.*?)^```$", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    assert [language for language, _ in blocks] == ["sh", "sh", "sh", "python", "sh", "python", "sh"]
    for language, block in blocks:
        if language == "python":
            exec(compile(block, PAGE.name, "exec"), names)
            continue
        for line in block.splitlines():
            words = shlex.split(line)[1:]
            if words[0] not in {"align", "serve", "methods"}:
                said = polyclip(*words)
                assert said.code == 0, (line, said)
    run = load_model("runs/sw")
    wanted = run.encode_text(["samaki", "mbwa"]).numpy()
    np.testing.assert_allclose(names["texts"].numpy() @ wanted.T, wanted @ wanted.T, atol=1e-3)
    padded = np.pad(wanted[0], (0, 512 - run.dim))
    assert names["embedding"].shape == (1, 512) and np.dot(names["embedding"][0], padded) > 0.9999
    assert np.dot(immich_text(Path("ViT-B-32__openai"), "samaki"), padded) > 0.9999


def test_a_width_that_cannot_be_is_refused(real: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"--width 8 is less than the \d+ numbers of this run's embeddings"):
        export(real, "onnx", tmp_path / "out", width=8)
    with pytest.raises(RunError, match="open_clip does not support --width"):
        export(real, "open_clip", tmp_path / "out", width=512)
    assert not (tmp_path / "out").exists()
