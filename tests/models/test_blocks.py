"""Captions side by side give the features and gradients that they have with padding, in every text encoder that is
trained.
"""

from typing import Any

import pytest
import torch
from torch import Tensor

from polyclip.models.aligner import PolyCLIP
from polyclip.models.attention import SHORT
from polyclip.models.config import ModelConfig
from polyclip.models.trunk import blocks, run_above, run_below
from polyclip.training.flops import make_flop_counter
from tests.models.test_methods import INSIDE
from tests.toy import write_text_encoder, write_vision_tower

CAPTIONS = ["red", "a small green square beside a huge blue one and a red one", "njano", "mraba nyekundu", "big", "red"]


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("toy")
    texts = {kind: write_text_encoder(folder / kind, kind) for kind in ("xlm-r", "nllb")}
    return texts | {"vision": write_vision_tower(folder)}


def build(toy: dict[str, str], text: str, method: str) -> Any:
    torch.manual_seed(0)
    branch = PolyCLIP(ModelConfig(text_encoder=toy[text], vision_tower=toy["vision"], method=method, dim=16)).text
    with torch.no_grad():  # parts that start as the identity would hide what they do
        for parameter in branch.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.05)
    return branch


def run(encoder: Any, captions: list[str]) -> tuple[Tensor, dict[str, Tensor], int]:
    """Features, gradients of what is trained, and operations."""
    encoder.zero_grad()
    with make_flop_counter() as counter:
        found = encoder(**encoder.prepare(captions))
        (found * torch.linspace(-1, 1, found.shape[1])).sum().backward()
    gradients = {name: p.grad.clone() for name, p in encoder.named_parameters() if p.grad is not None}
    return found.detach(), gradients, counter.get_total_flops()


@pytest.mark.parametrize("text", ["xlm-r", "nllb"])
@pytest.mark.parametrize("method", [name for name in INSIDE if name != "lit-reversed"])
def test_features_and_gradients_are_those_with_padding(
    toy: dict[str, str], method: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = build(toy, text, method).encoder
    found, gradients, packed = run(encoder, CAPTIONS)
    monkeypatch.setattr(blocks, "is_worth_packing", lambda *_: False)
    wanted, others, padded = run(encoder, CAPTIONS)
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-4)
    assert gradients.keys() == others.keys()
    assert others
    for name, value in gradients.items():
        torch.testing.assert_close(value, others[name], atol=1e-4, rtol=1e-3)
    assert packed < 0.75 * padded


@pytest.mark.parametrize("text", ["xlm-r", "nllb"])
@torch.no_grad()
def test_a_long_caption_does_not_stretch_the_others(toy: dict[str, str], text: str) -> None:
    """Batches in training are large: padded to one long caption they would hold many times as many tokens."""
    trunk = build(toy, text, "full").encoder.trunk
    lengths = torch.tensor([SHORT + 20, *[3, 5, 9] * 10])
    mask = (torch.arange(SHORT + 20) < lengths[:, None]).long()
    state = {"hidden": torch.randn(*mask.shape, trunk.width), "mask": mask}
    assert blocks.plan_blocks(tuple(lengths.tolist())).tokens.numel() < 0.2 * mask.numel()
    found, wanted = (run(trunk, state, 1)["hidden"][mask.bool()] for run in (blocks.run_in_blocks, run_above))
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("pooling", ["cls", "mean"])
@torch.no_grad()
def test_states_below_a_cut_are_put_side_by_side_too(toy: dict[str, str], pooling: str) -> None:
    encoder = build(toy, "xlm-r", "lilt-lwa").encoder
    encoder.pooling = pooling
    inputs = encoder.prepare(CAPTIONS)
    wanted = torch.cat([encoder(**encoder.prepare([caption])) for caption in CAPTIONS])
    for position in range(len(encoder.trunk.layers) + 2):
        state = run_below(encoder.trunk, inputs, position)
        torch.testing.assert_close(encoder.finish(state, position), wanted, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_one_caption_cannot_be_seen_by_its_neighbours(toy: dict[str, str]) -> None:
    encoder = build(toy, "xlm-r", "full").encoder
    first = encoder(**encoder.prepare(["red", *CAPTIONS]))
    other = encoder(**encoder.prepare(["big", *CAPTIONS]))
    assert not torch.equal(first[0], other[0])
    torch.testing.assert_close(first[1:], other[1:], atol=1e-6, rtol=1e-5)


def test_a_damaged_caption_does_not_damage_its_neighbours(toy: dict[str, str]) -> None:
    encoder = build(toy, "xlm-r", "lilt-ln").encoder
    word = int(encoder.prepare(["njano"])["input_ids"][0, 1])
    with torch.no_grad():
        encoder.model.get_input_embeddings().weight[word] = torch.inf
        found = encoder(**encoder.prepare(CAPTIONS))
    assert [bool(row.isfinite().all()) for row in found] == [caption != "njano" for caption in CAPTIONS]


def test_what_was_planned_while_encoding_serves_in_training(toy: dict[str, str]) -> None:
    """A validation asks for the same lengths, in inference mode, before the step does."""
    blocks.plan_blocks.cache_clear()
    encoder = build(toy, "xlm-r", "full").encoder
    with torch.inference_mode():
        encoder(**encoder.prepare(CAPTIONS))
    _, gradients, _ = run(encoder, CAPTIONS)
    assert gradients


@pytest.mark.parametrize(
    ("lengths", "worth"),
    [([3, 4, 20, 5], True), ([7, 7, 7], False), ([9], False), ([SHORT, 3, 3], True), ([SHORT + 1, 3, 3], True)],
    ids=["of many lengths", "of one length", "one", "long", "longer than products are used for"],
)
def test_captions_stand_side_by_side_where_that_saves_enough(lengths: list[int], worth: bool) -> None:
    mask = torch.zeros(len(lengths), max(lengths), dtype=torch.long)
    for row, length in enumerate(lengths):
        mask[row, :length] = 1
    assert blocks.is_worth_packing(torch.zeros(*mask.shape, 4), mask) == worth


def test_a_training_batch_is_larger_where_captions_stand_side_by_side(toy: dict[str, str]) -> None:
    encoder = build(toy, "xlm-r", "full").encoder
    assert encoder.grain > 100
    assert encoder.to("meta").grain == 32
