"""Attention by products is torch's own attention, forward and backward, and captions in one block do not see each
other.
"""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from polyclip.models.attention import SHORT, mix_tokens
from polyclip.models.trunk.blocks import SIZES, plan_blocks
from polyclip.models.trunk.packed_attention import BLOCK, attend_within_captions

HEADS, PART = 3, 8
LENGTHS = {
    "one token": [1],
    "sorted": [25, 24, 17, 9, 9, 3, 1],
    "as they come": [3, 31, 1, 2, 30, 5],
    "a block to the last place": [BLOCK, BLOCK - 1, 1],
    "one more than a block": [BLOCK + 1, 2, 2],
    "the longest in blocks": [SHORT, 5],
    "longer": [SHORT + 1, 5, 1],
}


def draw(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
def test_each_caption_attends_to_itself(lengths: list[int]) -> None:
    mapped = draw(sum(lengths), 3 * HEADS * PART)
    parts = [
        scaled_dot_product_attention(*rows.view(len(rows), 3, HEADS, PART).permute(1, 2, 0, 3))
        .transpose(0, 1)
        .reshape(len(rows), -1)
        for rows in mapped.split(lengths)
    ]
    torch.testing.assert_close(attend_within_captions(mapped, torch.tensor(lengths), HEADS), torch.cat(parts))


@pytest.mark.parametrize("damage", [torch.nan, torch.inf])
def test_a_damaged_caption_does_not_damage_its_neighbours(damage: float) -> None:
    mapped, lengths = draw(12, 3 * HEADS * PART), torch.tensor([3, 4, 5])
    wanted = attend_within_captions(mapped, lengths, HEADS)
    mapped[4] = damage
    found = attend_within_captions(mapped, lengths, HEADS)
    torch.testing.assert_close(found[:3], wanted[:3])
    torch.testing.assert_close(found[7:], wanted[7:])
    assert not found[3:7].isfinite().all()


@pytest.mark.parametrize("sizes", [(BLOCK,), SIZES], ids=str)
@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
def test_every_token_has_one_place(lengths: list[int], sizes: tuple[int, ...]) -> None:
    blocks = plan_blocks(tuple(lengths), sizes)
    assert blocks.tokens.view(-1)[blocks.places].tolist() == list(range(sum(lengths)))
    assert blocks.tokens.shape[1] <= max(*sizes, *lengths)
    owner = torch.tensor([number for number, length in enumerate(lengths) for _ in range(length)])
    size = blocks.tokens.shape[1]
    for one, other in zip(blocks.places.tolist(), blocks.places.roll(1).tolist(), strict=True):
        if one // size == other // size:
            same = owner[blocks.tokens.view(-1)[one]] == owner[blocks.tokens.view(-1)[other]]
            assert bool(blocks.alike[one // size, one % size, other % size]) == bool(same)


def test_the_fewest_places_are_left_over() -> None:
    """The longest first, each where the least room is left; of several sizes the one with the fewest places."""
    assert plan_blocks((5, 20, 12, 11, 7, 4), (24,)).tokens.shape == (3, 24)  # 59 tokens; in their order it takes four
    assert plan_blocks((16, 16, 16), SIZES).tokens.shape == (1, 48)


@pytest.mark.parametrize("tokens", [1, 16, 17, SHORT, SHORT + 1])
@pytest.mark.parametrize("hidden", [False, True])
def test_products_are_torchs_attention(tokens: int, hidden: bool) -> None:
    mask = torch.ones(2, 1, tokens, tokens, dtype=torch.bool)
    if hidden:
        mask[1, :, :, (tokens + 1) // 2 :] = False
    found, expected = ([draw(2, HEADS, tokens, PART).requires_grad_() for _ in range(3)] for _ in range(2))
    weight = draw(2, HEADS, tokens, PART)
    (mix_tokens(*found, mask) * weight).sum().backward()
    (scaled_dot_product_attention(*expected, attn_mask=mask) * weight).sum().backward()
    torch.testing.assert_close(mix_tokens(*found, mask), scaled_dot_product_attention(*expected, attn_mask=mask))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one.grad, other.grad, atol=1e-5, rtol=1e-4)


def test_scale_and_dropout() -> None:
    query, key, value = (draw(1, 1, 64, PART) for _ in range(3))
    torch.testing.assert_close(
        mix_tokens(query, key, value, scale=0.5), scaled_dot_product_attention(query, key, value, scale=0.5)
    )
    ones = torch.ones(1, 1, 64, PART)
    dropped = mix_tokens(query, key, ones, dropout=0.5)
    assert dropped.std() > 0.05  # weights were dropped,
    assert abs(float(dropped.mean()) - 1) < 0.2  # and the others scaled up
    torch.testing.assert_close(mix_tokens(query, key, ones), ones)
