"""Text without padding is the same function as transformers' own layers, and only where these layers are its own."""

import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity
from torch.nn.utils.parametrize import register_parametrization

from polyclip.core.toml import CORPORA
from polyclip.data.readers import emoji
from polyclip.models.aligner import PolyCLIP
from polyclip.models.backbone import describe
from polyclip.models.config import ModelConfig
from polyclip.models.encoding import build_encoder, encode_items
from polyclip.models.packed_encoder import PackedEncoder
from polyclip.models.text_encoder import TextEncoder
from polyclip.models.trunk import run_below
from tests.models.test_methods import INSIDE
from tests.toy import write_text_encoder, write_vision_tower

LOCALES = ("en", "sw", "te", "th", "zh", "ar", "ru", "my", "ko", "am")
PACKED = {
    "full",
    "lilt-ln",
    "lilt-bf",
    "first-blocks",
    "lit",
    "lit-reversed",
}  # that put nothing into a layer, or leave the text tower alone


ENCODE = """
import sys
from polyclip.models.encoding import build_encoder
from polyclip.models.feature_cache import forward
from polyclip.models.backbone import describe
print(*forward(build_encoder(describe("encoders", "e5-small")), ["犬"], "one")[0, :3].tolist(), "|", *sys.modules)
"""


@pytest.fixture(scope="module")
def real() -> TextEncoder:
    return describe("encoders", "e5-small").build()


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("toy")
    return {"text": write_text_encoder(folder / "xlm-r"), "vision": write_vision_tower(folder)}


def own_forward(encoder: TextEncoder, captions: list[str]) -> Tensor:
    """transformers' forward pass of one caption at a time: no padding, no trunk."""
    rows = []
    for caption in captions:
        hidden = encoder.model(**encoder.prepare([caption])).last_hidden_state[0]
        rows.append(hidden[0] if encoder.pooling == "cls" else hidden.mean(0))
    return torch.stack(rows)


@torch.inference_mode()
def test_real_captions_in_ten_languages(real: TextEncoder) -> None:
    captions = [
        row.captions[0] for locale in LOCALES for row in emoji.read(CORPORA / "emoji", locale, "validation")[::90]
    ]
    captions = [*captions, "", " ".join(captions)]
    packed = real.get_inference_form()
    assert isinstance(packed, PackedEncoder)
    assert len(set(real.costs(captions))) > 6
    found, wanted = encode_items(packed, captions, lambda rows: None), own_forward(real, captions)
    assert cosine_similarity(found, wanted).min() > 0.99999
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-4)


@torch.inference_mode()
def test_the_form_without_transformers_is_the_same(real: TextEncoder) -> None:
    captions = ["mbwa mweusi", "ein sehr großer roter Würfel auf dem Tisch", "犬", "", "చిన్న కుక్క"]
    tower = describe("encoders", "e5-small:,layers=2,prefix=passage: ")
    found, wanted = (
        encode_items(build_encoder(tower), captions, lambda rows: None),
        own_forward(tower.build(), captions),
    )
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-4)
    done = subprocess.run([sys.executable, "-c", ENCODE], capture_output=True, text=True, check=True)
    found, imported = done.stdout.split("|")
    assert "torch" in imported.split() and not {"transformers", "timm", "accelerate", "torchvision"} & set(
        imported.split()
    )
    torch.testing.assert_close(
        torch.tensor([float(value) for value in found.split()]),
        real(**real.prepare(["犬"]))[0, :3],
        atol=1e-5,
        rtol=1e-4,
    )


@torch.inference_mode()
def test_every_position_of_the_packed_trunk(real: TextEncoder) -> None:
    captions = ["mbwa mweusi", "ein sehr großer roter Würfel auf dem Tisch", "犬", "paka mweupe"]
    packed, inputs, wanted = real.get_inference_form(), real.prepare(captions), own_forward(real, captions)
    for position in range(len(packed.trunk.layers) + 2):
        state = run_below(packed.trunk, inputs, position)
        torch.testing.assert_close(packed.finish(state, position), wanted, atol=1e-5, rtol=1e-4)
        if position > 0:  # what one form keeps, the other reads
            rows = packed.split(state)
            torch.testing.assert_close(real.finish(real.join(rows), position), wanted, atol=1e-5, rtol=1e-4)
            torch.testing.assert_close(
                packed.finish(packed.join(rows[::-1]), position), wanted.flip(0), atol=1e-5, rtol=1e-4
            )


@pytest.mark.parametrize("method", INSIDE)
def test_what_a_method_trains_is_never_passed_over(toy: dict[str, str], method: str) -> None:
    """Moved parameters move both forms alike; a layer with something put into it runs by its own forward."""
    encoder: Any = PolyCLIP(
        ModelConfig(text_encoder=toy["text"], vision_tower=toy["vision"], method=method, dim=16)
    ).text.encoder
    encoder = encoder or describe("encoders", toy["text"]).build()
    captions = ["red", "mraba nyekundu kubwa sana", "small green square"]
    with torch.inference_mode():
        before = encoder(**encoder.prepare(captions))
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in encoder.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.05)
    folded = encoder.get_inference_form()
    assert isinstance(folded, PackedEncoder) == (method in PACKED)
    with torch.inference_mode():
        wanted = encoder(**encoder.prepare(captions))
        torch.testing.assert_close(encode_items(folded, captions, lambda rows: None), wanted, atol=1e-5, rtol=1e-4)
    trained = any(p.requires_grad for p in encoder.parameters())
    assert ((wanted - before).abs().max() > 1e-3) == trained


class Doubled(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return weight * 2


@pytest.mark.parametrize(
    "change", ["training", "hook", "parametrised", "forward", "left padding", "pooling", "another kind"]
)
def test_a_layer_that_was_touched_runs_by_its_own_forward(toy: dict[str, str], change: str) -> None:
    encoder = describe("encoders", f"{toy['text']},pooling=cls").build()
    packed = encoder.get_inference_form()
    assert isinstance(packed, PackedEncoder)
    with torch.inference_mode():
        torch.testing.assert_close(
            packed(**packed.prepare(["red", "small green square"])), own_forward(encoder, ["red", "small green square"])
        )
    attention = encoder.trunk.layers[1].attention
    if change == "training":
        attention.output.dropout.train()
    elif change == "hook":
        attention.self.key.register_forward_hook(lambda module, given, out: out * 2)
    elif change == "parametrised":
        register_parametrization(attention.self.value, "weight", Doubled())
    elif change == "forward":
        attention.self.forward = lambda hidden, *rest, **more: (hidden, None)
    elif change == "left padding":
        feed = encoder.tokenize
        encoder.tokenize = lambda texts: {name: tensor.flip(1) for name, tensor in feed(texts).items()}
    elif change == "pooling":
        encoder.mean = lambda state: state["hidden"].sum(1)
    else:
        attention.self.query = nn.Sequential(attention.self.query, nn.Tanh())
    assert encoder.get_inference_form() is encoder
