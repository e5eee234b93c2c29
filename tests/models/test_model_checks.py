"""What is loaded is checked: a model that cannot tell anything apart is refused, and equal models are equal files."""

import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

from polyclip.errors import WeightsError
from polyclip.models.aligner import PolyCLIP, load_model
from polyclip.models.config import ModelConfig
from polyclip.models.model_file import read_aligner
from tests.command import polyclip
from tests.toy import write_text_encoder, write_vision_tower


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> ModelConfig:
    folder = tmp_path_factory.mktemp("toy")
    towers = {"text_encoder": write_text_encoder(folder / "t"), "vision_tower": write_vision_tower(folder / "v")}
    return ModelConfig(**towers, method="heads", dim=8)


@pytest.fixture
def run(toy: ModelConfig, tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    PolyCLIP(toy).save(tmp_path / "run" / "aligner.safetensors")
    return tmp_path / "run"


def change(run: Path, part: str, how: Callable[[Tensor], Tensor]) -> None:
    metadata, state = read_aligner(run / "aligner.safetensors")
    names = [name for name in state if part in name and state[name].is_floating_point()]
    assert names
    save_file(state | {name: how(state[name]) for name in names}, run / "aligner.safetensors", metadata=metadata)


def put(value: float) -> Callable[[Tensor], Tensor]:
    def change_one(tensor: Tensor) -> Tensor:
        tensor = tensor.clone()
        tensor.view(-1)[3] = value
        return tensor

    return change_one


def test_a_whole_model_loads(run: Path) -> None:
    state = torch.random.get_rng_state()
    assert load_model(run).dim == 8
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("part", ["text.head.members.0.linear.weight", "vision.head.mean"])
def test_values_that_are_no_numbers_are_named(run: Path, value: float, part: str) -> None:
    change(run, part, put(value))
    with pytest.raises(WeightsError, match=rf"1 of \d+ values of {part} are NaN or infinite\. .*align again"):
        load_model(run)


@pytest.mark.parametrize(("kind", "said"), [("text", "captions"), ("vision", "images")])
def test_a_head_of_zeros_or_of_one_embedding_is_refused(run: Path, kind: str, said: str) -> None:
    change(run, f"{kind}.head.members.0.linear.weight", torch.zeros_like)
    change(run, f"{kind}.head.members.0.linear.bias", torch.ones_like)
    with pytest.raises(WeightsError, match=f"its {kind} head gives all {said} the same embedding"):
        load_model(run)
    change(run, f"{kind}.head.members.0.linear.bias", torch.zeros_like)
    with pytest.raises(WeightsError, match=f"its {kind} head gives {said} no embeddings but zeros"):
        load_model(run)


def test_commands_end_with_the_sentence(run: Path, tmp_path: Path) -> None:
    change(run, "text.head.members.0.linear", torch.zeros_like)
    Image.new("RGB", (40, 40)).save(tmp_path / "black.png")
    for words in (
        ("search", "--model", run, "--images", tmp_path, "mbwa"),
        ("index", tmp_path, "--model", run, "--out", tmp_path / "index"),
        ("eval", "emoji", "--model", run),
    ):
        said = polyclip(*words)
        assert said.code == 2 and "head gives captions no embeddings" in said.err, (words, said)


def test_pickles_and_lying_headers(run: Path) -> None:
    path = run / "aligner.safetensors"
    whole = path.read_bytes()
    for data in (pickle.dumps({"a": 1}), b"PK\x03\x04" + bytes(100)):
        path.write_bytes(data)
        with pytest.raises(WeightsError, match="is a pickle"):
            load_model(run)
    for data in ((2**62).to_bytes(8, "little") + whole[8:], whole[:-1], b"", whole[:8] + b"[" * 100):
        path.write_bytes(data)
        with pytest.raises(WeightsError, match="is damaged or truncated"):
            load_model(run)


@pytest.mark.slow
def test_equal_models_are_equal_files(toy: ModelConfig, tmp_path: Path) -> None:
    program = (
        "import sys, torch; from pathlib import Path; from polyclip.models.config import ModelConfig;"
        "from polyclip.models.aligner import PolyCLIP; import json; torch.manual_seed(0);"
        "PolyCLIP(ModelConfig(**json.loads(sys.argv[1]))).save(Path(sys.argv[2]))"
    )
    files = [tmp_path / f"{number}.safetensors" for number in range(2)]
    for path in files:
        subprocess.run([sys.executable, "-c", program, json.dumps(toy.__dict__), str(path)], check=True)
    assert files[0].read_bytes() == files[1].read_bytes()
    state = load_file(files[0])
    torch.manual_seed(0)
    for name, tensor in PolyCLIP(toy).state().items():
        assert torch.equal(state[name], tensor.half() if tensor.ndim > 1 else tensor), name
    metadata = read_aligner(files[0])[0]
    assert list(json.loads(metadata["recipe"])) == list(toy.__dict__) and metadata["polyclip"] == "1"


def test_a_model_prints_in_one_line(toy: ModelConfig) -> None:
    model = PolyCLIP(toy)
    assert repr(model) == f"PolyCLIP(heads: {toy.text_encoder} + {toy.vision_tower}, dim=8)"
    model.source, model.settings = "runs/sw", {"languages": ["sw", "en"]}
    assert repr(model).endswith(", dim=8, languages=sw+en, source='runs/sw')") and "\n" not in repr(model)
