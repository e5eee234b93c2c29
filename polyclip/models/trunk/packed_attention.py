"""Self-attention inside each caption, where the tokens of all captions are rows of one matrix.

Captions are short, so that one matrix product a caption and head would cost more in calls than in arithmetic. They are
put side by side into blocks instead, and a mask keeps them apart.
"""

from functools import lru_cache

import torch
from jaxtyping import Float, Int
from torch import Tensor

from polyclip.models.attention import SHORT, mix_tokens
from polyclip.models.trunk.blocks import Blocks, plan_blocks

BLOCK = 32  # tokens: what is lost between captions still costs less than smaller products would


def attend_within_captions(
    mapped: Float[Tensor, "token three_widths"], lengths: Int[Tensor, " caption"], heads: int
) -> Float[Tensor, "token width"]:
    """Multi-head self-attention inside each caption, in float32.

    Args:
        mapped: Query, key and value of each token, side by side.
        lengths: Tokens of each caption, in the order of the rows.
        heads: Attention heads.

    Returns:
        The mixed values.

    """
    sizes: list[int] = lengths.tolist()
    if max(sizes) <= SHORT:
        blocks = plan_blocks(tuple(sizes), (BLOCK,))
        found = attend_in_blocks(mapped, blocks, hide_others(tuple(sizes), heads))
        if found.sum().isfinite():  # else, as zero times NaN is NaN, a damaged caption has damaged its neighbours
            return found
    return torch.cat([attend_alone(rows, heads) for rows in mapped.split(sizes)])


def attend_alone(mapped: Float[Tensor, "token three_widths"], heads: int) -> Float[Tensor, "token width"]:
    """Self-attention of one caption."""
    query, key, value = mapped.float().view(len(mapped), 3, 1, heads, -1).permute(1, 2, 3, 0, 4)
    return mix_tokens(query, key, value)[0].transpose(0, 1).reshape(len(mapped), -1)


def attend_in_blocks(
    mapped: Float[Tensor, "token three_widths"], blocks: Blocks, mask: Float[Tensor, "block_and_head place place"]
) -> Float[Tensor, "token width"]:
    """Self-attention of captions that stand in blocks, under the mask of `hide_others`."""
    count, size = blocks.tokens.shape
    heads = len(mask) // count
    parts = mapped[blocks.tokens.view(-1)].view(count, size, 3, heads, -1).permute(2, 0, 3, 1, 4)
    placed = parts.to(torch.float32, memory_format=torch.contiguous_format)  # moved and cast in one pass
    query, key, value = placed.reshape(3, count * heads, size, -1)
    scores = torch.baddbmm(mask, query, key.transpose(1, 2), alpha=query.shape[-1] ** -0.5)
    mixed = torch.bmm(scores.softmax(-1), value).view(count, heads, size, -1).transpose(1, 2)
    back = mixed.to(mapped.dtype, memory_format=torch.contiguous_format)
    return back.reshape(count * size, -1)[blocks.places]


@lru_cache(maxsize=32)  # all layers attend to the same captions, of each thread that encodes; 1 MB each
def hide_others(lengths: tuple[int, ...], heads: int) -> Float[Tensor, "block_and_head place place"]:
    """What is added to the scores: 0 between places of one caption, minus infinity between others."""
    alike = plan_blocks(lengths, (BLOCK,)).alike
    with torch.inference_mode(False):  # kept, as the plan is
        return torch.zeros(alike.shape).masked_fill_(~alike, -torch.inf).repeat_interleave(heads, 0)
