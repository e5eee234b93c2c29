"""Captions side by side in rows of equal length, so that little padding is multiplied.

Captions have a few tokens, and the longest of a batch several times as many. Most of what layers do with a token does
not depend on the others; only attention must keep the captions of a row apart, by a mask.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from polyclip.models.trunk import Chain, State, run_above

SIZES = (24, 32, 48, 64)  # places of a row, of which the plan takes the one that leaves the fewest empty
WORTH = 0.95  # of the places that padding takes: with more, moving the tokens costs more than it saves


@dataclass(frozen=True)
class Blocks:
    """Where the tokens of captions stand.

    Attributes:
        tokens: The token at each place, counted over all captions; a place that is left over holds the first one.
        places: The place of each token, counted over all blocks.
        alike: Whether two places of a block belong to the same caption; those left over belong together.

    """

    tokens: Int[Tensor, "block place"]
    places: Int[Tensor, " token"]
    alike: Bool[Tensor, "block place place"]


@lru_cache(maxsize=64)  # all layers want the same, of each thread that encodes
def plan_blocks(lengths: tuple[int, ...], sizes: tuple[int, ...] = SIZES) -> Blocks:
    """Put captions side by side into blocks of equal size.

    Args:
        lengths: Tokens of each caption, at least 1.
        sizes: Places of a block to choose from; where the longest caption has more, as many as that.

    Returns:
        The blocks.

    """
    longest = max(lengths)
    with torch.inference_mode(False):  # kept for training too, although encoding may ask first
        return place_captions(lengths, sorted({max(longest, size) for size in sizes}))


def place_captions(lengths: Sequence[int], sizes: Sequence[int]) -> Blocks:
    """Place captions in blocks of the size, of those given, that leaves the fewest places empty."""
    plans = {size: fill_blocks(lengths, size) for size in sizes}
    size = min(plans, key=lambda one: one * len(plans[one]))
    starts = torch.tensor([0, *lengths]).cumsum(0).tolist()
    rows = [[(caption, starts[caption] + n) for caption in own for n in range(lengths[caption])] for own in plans[size]]
    size = max(map(len, rows))
    filled = torch.tensor([row + [(-1, 0)] * (size - len(row)) for row in rows], dtype=torch.long)
    captions, tokens = filled.view(len(rows), size, 2).unbind(-1)
    taken = (captions.view(-1) >= 0).nonzero().view(-1)
    places = torch.empty_like(taken).index_copy_(0, tokens.reshape(-1)[taken], taken)
    return Blocks(tokens.contiguous(), places, captions[:, :, None] == captions[:, None, :])


def fill_blocks(lengths: Sequence[int], size: int) -> list[list[int]]:
    """Choose the captions of each block: the longest first, each where the least room is left (best-fit decreasing)."""
    blocks: list[list[int]] = []
    room: list[int] = []
    for caption in sorted(range(len(lengths)), key=lambda number: -lengths[number]):
        length = lengths[caption]
        best = min((n for n, left in enumerate(room) if left >= length), key=room.__getitem__, default=len(room))
        if best == len(room):
            blocks.append([])
            room.append(size)
        blocks[best].append(caption)
        room[best] -= length
    return blocks


def run_in_blocks(trunk: Chain, state: State, position: int) -> State:
    """Run a trunk from a position to its end, with captions side by side where that saves enough.

    Args:
        trunk: One whose layers treat each token by itself but for attention, under the mask in `state["alike"]`.
        state: Hidden states with padding, {"hidden": [caption, token, width], "mask": [caption, token]}.
        position: Where they were taken, at least 1.

    Returns:
        The output of the closing part, in the form of `state`; zeros where there is padding.

    """
    hidden, mask = state["hidden"], state["mask"]
    if position > len(trunk.layers) or not is_worth_packing(hidden, mask):
        return run_above(trunk, state, position)
    blocks = plan_blocks(tuple(mask.sum(1).tolist()))
    (real,) = mask.reshape(-1).nonzero(as_tuple=True)
    count, size = blocks.tokens.shape
    flat = hidden.reshape(-1, hidden.shape[-1])
    placed = flat.index_select(0, real[blocks.tokens.view(-1)]).view(count, size, -1)
    found = run_above(trunk, {"hidden": placed, "alike": blocks.alike[:, None]}, position)["hidden"]
    rows = found.reshape(count * size, -1).index_select(0, blocks.places)
    if not rows.detach().sum().isfinite():  # zero times NaN is NaN: a damaged caption would damage its neighbours
        return run_above(trunk, state, position)
    padded = rows.new_zeros(len(flat), rows.shape[1]).index_copy(0, real, rows)
    return {"hidden": padded.view(*mask.shape, -1), "mask": mask}


def is_worth_packing(hidden: Tensor, mask: Tensor) -> bool:
    """Whether captions are of lengths so different that they should stand side by side.

    Never on a GPU, whose attention works on padding at less cost than moving tokens has, and never in a graph that is
    traced, which would be of these lengths alone.
    """
    if hidden.device.type != "cpu" or torch.compiler.is_compiling():
        return False
    lengths = mask.sum(1)
    if not len(lengths) or int(lengths.min()) < 1:
        return False
    return plan_blocks(tuple(lengths.tolist())).tokens.numel() < WORTH * mask.numel()
