"""A model on disk comes back as it was: heads, what was trained inside encoders, the temperature; and embeds alike."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from polyclip.errors import WeightsError
from polyclip.models.aligner import MAX_SCALE, PolyCLIP, load_model
from polyclip.models.config import ModelConfig
from tests.toy import write_text_encoder, write_vision_tower

TEXTS = ["small red square", "mraba", "huge blue square"]
INSIDE = ("lilt-da", "lilt-lwa", "lora", "lilt-ln", "lilt-bf")  # that change encoders, each in its own way


@pytest.fixture(scope="module")
def towers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("towers")
    return {
        "text_encoder": write_text_encoder(folder / "text"),
        "vision_tower": write_vision_tower(folder / "vision", "test_vit"),
        "other": write_text_encoder(folder / "other", "nllb"),
    }


def make(towers: dict[str, str], method: str) -> PolyCLIP:
    """A model whose every trained parameter was moved."""
    torch.manual_seed(4)
    known = {key: towers[key] for key in ("text_encoder", "vision_tower")}
    model = PolyCLIP(ModelConfig(method=method, dim=16, **known))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.2 * torch.randn_like(parameter))
    return model.eval()


def picture() -> Image.Image:
    image = Image.new("RGB", (64, 64), "grey")
    image.paste((200, 40, 10), (4, 10, 30, 60))
    return image


@pytest.mark.parametrize("method", ["heads", "head-glu", *INSIDE])
def test_everything_trained_comes_back(towers: dict[str, str], method: str, tmp_path: Path) -> None:
    model = make(towers, method)
    model.save(tmp_path / "aligner.safetensors")
    again = load_model(tmp_path / "aligner.safetensors")
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert trained <= model.state().keys() == again.state().keys()
    assert any(".encoder." in name for name in trained) == (method in INSIDE)
    for name, tensor in model.state().items():  # matrices are kept in half precision
        torch.testing.assert_close(again.state()[name], tensor, rtol=1e-3, atol=1e-4, msg=name)
    torch.testing.assert_close(again.encode_text(TEXTS), model.encode_text(TEXTS), rtol=0, atol=2e-2)
    torch.testing.assert_close(again.encode_image(picture()), model.encode_image(picture()), rtol=0, atol=2e-2)
    fresh = PolyCLIP(again.config).eval()
    assert (fresh.encode_text(TEXTS) - again.encode_text(TEXTS)).abs().max() > 0.05


def test_other_encoders_are_refused(towers: dict[str, str], tmp_path: Path) -> None:
    model = make(towers, "heads")
    model.config = replace(model.config, text_encoder=towers["other"])  # of the same width: every tensor would fit
    model.save(tmp_path / "aligner.safetensors")
    with pytest.raises(WeightsError, match="was trained on another text encoder"):
        load_model(tmp_path / "aligner.safetensors")


@pytest.mark.parametrize("method", ["heads", "lilt-da"])
def test_embedding_never_drops_out(towers: dict[str, str], method: str) -> None:
    model = make(towers, method)
    assert model.text.head.members[0].dropout > 0
    wanted = model.encode_text(TEXTS), model.encode_image(picture())
    model.train()
    assert model.text.head.training and not any(
        module.training for side in (model.text, model.vision) if side.encoder for module in side.encoder.modules()
    )
    found = model.encode_text(TEXTS), model.encode_image(picture())
    assert all(torch.equal(one, other) for one, other in zip(found, wanted, strict=True))
    assert model.text.head.training  # as it was before


def test_the_temperature_has_a_limit(towers: dict[str, str]) -> None:
    model = make(towers, "heads")
    with torch.no_grad():
        model.log_scale.fill_(math.log(MAX_SCALE) + 1)
        assert model.scale().item() == pytest.approx(100.0)
        model.log_scale.fill_(math.log(20.0))
        assert model.logit_scale.item() == pytest.approx(20.0)
