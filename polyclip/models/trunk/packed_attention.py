"""Self-attention inside each caption, where the tokens of all captions are rows of one matrix.

Captions are short, so that one matrix product a caption and head would cost more in calls than in arithmetic. They are
put side by side into blocks instead, and a mask keeps them apart.
"""

from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Float, Int
from torch import Tensor

from polyclip.models.attention import SHORT, mix_tokens

BLOCK = 32  # tokens: what is lost between captions still costs less than smaller products would


@dataclass(frozen=True)
class Blocks:
    """Where the tokens of captions stand in blocks of equal size.

    Attributes:
        tokens: The token at each place; a place that is left over holds the first token.
        places: The place of each token, counted over all blocks.
        mask: 0 between places of one caption, minus infinity between others; for each block and head.

    """

    tokens: Int[Tensor, "block place"]
    places: Int[Tensor, " token"]
    mask: Float[Tensor, "block_and_head place place"]


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
    if max(sizes) > SHORT:
        return torch.cat([attend_alone(rows, heads) for rows in mapped.split(sizes)])
    return attend_in_blocks(mapped, plan_blocks(tuple(sizes), heads), heads)


def attend_alone(mapped: Float[Tensor, "token three_widths"], heads: int) -> Float[Tensor, "token width"]:
    """Self-attention of one caption."""
    query, key, value = mapped.float().view(len(mapped), 3, 1, heads, -1).permute(1, 2, 3, 0, 4)
    return mix_tokens(query, key, value)[0].transpose(0, 1).reshape(len(mapped), -1)


def attend_in_blocks(
    mapped: Float[Tensor, "token three_widths"], blocks: Blocks, heads: int
) -> Float[Tensor, "token width"]:
    """Self-attention of captions that stand in blocks."""
    count, size = blocks.tokens.shape
    placed = mapped[blocks.tokens.view(-1)].view(count, size, 3, heads, -1).permute(2, 0, 3, 1, 4).float()
    query, key, value = placed.reshape(3, count * heads, size, -1)
    scores = torch.baddbmm(blocks.mask, query, key.transpose(1, 2), alpha=query.shape[-1] ** -0.5)
    mixed = torch.bmm(scores.softmax(-1), value).view(count, heads, size, -1).transpose(1, 2)
    return mixed.reshape(count * size, -1)[blocks.places]


@lru_cache(maxsize=8)  # all layers attend to the same captions
def plan_blocks(lengths: tuple[int, ...], heads: int) -> Blocks:
    """Put captions side by side into blocks of BLOCK tokens, or of the longest caption's where that is more.

    Args:
        lengths: Tokens of each caption.
        heads: Attention heads.

    Returns:
        The blocks; captions keep their order.

    """
    room = max(BLOCK, *lengths)
    rows: list[list[tuple[int, int]]] = [[]]  # of each block: caption and token
    token = 0
    for caption, length in enumerate(lengths):
        if len(rows[-1]) + length > room:
            rows.append([])
        rows[-1] += [(caption, token + number) for number in range(length)]
        token += length
    size = max(map(len, rows))
    filled = torch.tensor([row + [(-1, 0)] * (size - len(row)) for row in rows], dtype=torch.long)
    captions, tokens = filled.view(len(rows), size, 2).unbind(-1)
    apart = captions[:, :, None] != captions[:, None, :]
    mask = torch.zeros(apart.shape).masked_fill_(apart, -torch.inf)
    places = (captions.view(-1) >= 0).nonzero().view(-1)
    return Blocks(tokens.contiguous(), places, mask.repeat_interleave(heads, 0))
