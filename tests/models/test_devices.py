"""Models on a device: what moves with them, and that nothing is left behind; without a GPU, by fake tensors."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from polyclip.core.device import best_device, current_device, pick_device, use_device
from polyclip.errors import DataError, PolyclipError
from polyclip.models import batches
from polyclip.models.aligner import PolyCLIP
from polyclip.models.config import ModelConfig
from polyclip.models.losses import LOSSES, LossInputs
from tests.toy import write_text_encoder, write_vision_tower


@pytest.fixture(scope="module")
def towers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("towers")
    return {"text_encoder": write_text_encoder(folder / "text"), "vision_tower": write_vision_tower(folder / "vision")}


@pytest.fixture
def model(towers: dict[str, str]) -> PolyCLIP:
    return PolyCLIP(ModelConfig(**towers, method="heads", dim=16)).eval()


def test_the_device_that_is_asked_for_is_looked_for() -> None:
    assert pick_device("cpu") == torch.device("cpu")
    assert pick_device(None) == pick_device("auto") == best_device()
    for name, said in (("gpu", "Unknown device 'gpu'"), ("meta", "not supported"), ("cuda:99", "not available")):
        with pytest.raises(PolyclipError, match=said):
            pick_device(name)


def test_a_device_is_in_use_within_its_block_alone() -> None:
    with use_device("cpu"):
        assert current_device() == torch.device("cpu")
    with pytest.raises(ValueError, match="inside"), use_device("cpu"):
        raise ValueError("inside")
    assert current_device() == best_device()


def test_a_model_in_another_type_gives_float32(model: PolyCLIP) -> None:
    texts, images = ["red square", "blue circle"], [Image.new("RGB", (40, 40), colour) for colour in ("red", "blue")]
    wanted = (model.encode_text(texts), model.encode_image(images))
    model.to(torch.bfloat16)
    found = (model.encode_text(texts), model.encode_image(images))
    for before, after in zip(wanted, found, strict=True):
        assert after.dtype == torch.float32 and (before * after).sum(1).min() > 0.99
    assert torch.equal(model.float().encode_text(texts), PolyCLIP.encode_text(model, texts))


def fake(module: nn.Module, mode: FakeTensorMode) -> None:
    """Put a module's tensors on a GPU that is not there."""
    for part in module.modules():
        for table in (part._parameters, part._buffers):
            for name, tensor in table.items():
                if tensor is not None:
                    with mode:
                        moved = mode.from_tensor(tensor.detach()).to("cuda")
                    trained = isinstance(tensor, nn.Parameter)
                    table[name] = nn.Parameter(moved, requires_grad=tensor.requires_grad) if trained else moved


@pytest.fixture
def on_cuda(model: PolyCLIP, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[PolyCLIP, FakeTensorMode]]:
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    for branch in (model.text, model.vision):
        built: Any = branch.tower.build()
        fake(built, mode)
        built.to = lambda *_, built=built, **__: built
        built.costs = lambda items: [8] * len(items)
        branch.tower = replace(branch.tower, build=lambda built=built: built)
    fake(model, mode)
    move = {"state": lambda state, device: {name: mode.from_tensor(t).to(device) for name, t in state.items()}}
    monkeypatch.setattr(batches, "move_state", move["state"])
    with mode:
        yield model, mode


def test_encoders_and_heads_run_on_the_models_device(on_cuda: tuple[PolyCLIP, FakeTensorMode]) -> None:
    model, _ = on_cuda
    cuda = torch.device("cuda", 0)
    assert model.device == cuda
    for branch, items in ((model.text, ["a", "b c", "d"] * 40), (model.vision, [Image.new("RGB", (30, 30))] * 9)):
        found = model.encode_text(items) if branch is model.text else model.encode_image(items)
        assert {tensor.device for tensor in branch.running_encoder().parameters()} == {cuda}
        assert isinstance(found, FakeTensor) and found.device.type == "cpu" and found.shape == (len(items), 16)


def test_the_loss_of_a_training_step_stays_on_the_device(on_cuda: tuple[PolyCLIP, FakeTensorMode]) -> None:
    model, _ = on_cuda
    model.train()
    features = {
        kind: {"vectors": torch.rand(8, branch.tower.dim, device="cuda")}
        for kind, branch in (("text", model.text), ("image", model.vision))
    }
    text, image, scale, bias = model(features["text"], features["image"])
    concept = torch.arange(8, device="cuda")
    loss: Tensor = LOSSES["info-nce"](LossInputs(text, image, concept, scale, bias))
    assert {tensor.device.type for tensor in (text, image, scale, bias, loss)} == {"cuda"}  # autograd requires a driver


def test_after_an_unreadable_image_torch_has_the_threads_it_had(model: PolyCLIP, tmp_path: Path) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no image")
    good = tmp_path / "good.png"
    Image.new("RGB", (40, 40)).save(good)
    before = torch.get_num_threads()
    with pytest.raises(DataError, match="bad.png"):
        model.encode_image([good, bad, good, bad] * 8)
    assert torch.get_num_threads() == before
    assert model.encode_image(good).shape == (16,)


def test_batches_hold_as_many_as_was_asked(model: PolyCLIP, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    encoder = model.text.running_encoder()
    monkeypatch.setattr(model.text, "_built", {"fp32": Counting(encoder, sizes)})
    texts = [f"text {number}" for number in range(10)]
    found = model.encode_text(texts, batch_size=3)
    assert max(sizes) <= 3 and sum(sizes) == 10
    torch.testing.assert_close(found, model.encode_text(texts))


class Counting:
    """An encoder that writes down how many texts it was given at once."""

    def __init__(self, encoder: Any, sizes: list[int]) -> None:
        self.encoder, self.sizes = encoder, sizes
        self.dim, self.budget = encoder.dim, encoder.budget

    def __getattr__(self, name: str) -> Any:
        return getattr(self.encoder, name)

    def folded(self) -> "Counting":
        return self

    def prepare(self, items: Any) -> Any:
        self.sizes.append(len(items))
        return self.encoder.prepare(items)

    def __call__(self, **inputs: Tensor) -> Tensor:
        return self.encoder(**inputs)
