"""The members of a head in training, each under a dropout of its own.

Either each row loses other features (`draw_mask`), or all rows of a part of a step lose the same ones
(`draw_features`), so that products get smaller by what is dropped (Graham et al. 2015, arXiv 1502.02478).
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import gelu, linear

from polyclip.core.vectors import at_least_float32

GRAIN = 16  # features: products of a multiple of it are the fastest
BITS = {torch.float32: torch.int32, torch.bfloat16: torch.int16}  # formats whose values are dropped by their bits


def embed_members(
    members: Any,
    scaled: Float[Tensor, "row width"],
    kept: Iterable[Bool[Tensor, "row width"]],
) -> Float[Tensor, "row dim"]:
    """Embed rows with every member, under the member's own dropout.

    Args:
        members: `nn.ModuleList` of `polyclip.models.components.heads.Projection`, all of one shape and dropout.
        scaled: Features from the head's `scale_for_dropout`.
        kept: The members' dropout masks.

    Returns:
        Unit vectors, the members' parts concatenated, each of the same length.

    """
    found = [embed_member(member, apply_dropout(scaled, mask)) for member, mask in zip(members, kept, strict=True)]
    return torch.cat(found, dim=1) * len(found) ** -0.5


def embed_member(member: Any, dropped: Float[Tensor, "row width"]) -> Float[Tensor, "row dim"]:
    """Unit vectors of one member, of features under its dropout."""
    return UnitRows.apply(at_least_float32(member.project(dropped)))


def embed_narrow_member(
    member: Any,
    parts: Sequence[Float[Tensor, "width _"]],
    seen: Sequence[Int[Tensor, " kept"]],
) -> Float[Tensor, "row dim"]:
    """Unit vectors of one member that sees some of the features, the same as `embed_member` under a mask of them.

    Args:
        member: The member, without a gated branch.
        parts: Features from the head's `scale_for_dropout`, transposed, of each part of a step.
        seen: Places of the features that the member sees of each part, from `draw_features`.

    """
    first = member.linear if member.inner is None else member.inner
    # Cast once: autocast's own copy is dropped when another thread's block ends, and sums would be rounded otherwise.
    bias = cast_for_products(first.bias)
    found = torch.cat(
        [
            linear(part.index_select(0, kept).T, first.weight.index_select(1, kept), bias)
            for part, kept in zip(parts, seen, strict=True)
        ]
    )
    return UnitRows.apply(at_least_float32(found if member.inner is None else member.linear(gelu(found))))


class UnitRows(torch.autograd.Function):
    """Rows scaled to length 1, with the gradient in three passes where autograd takes ten."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        """Scale the rows, and keep what the gradient needs."""
        inverse = rows.square().sum(1, keepdim=True).clamp_(min=1e-24).rsqrt_()
        unit = rows * inverse  # a product: to divide takes several times as long
        ctx.save_for_backward(unit, inverse)
        return unit

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, outer: Tensor) -> Tensor:
        """The part of the gradient that is orthogonal to each row, over the row's length."""
        unit, inverse = ctx.saved_tensors
        along = (outer * unit).sum(1, keepdim=True)
        return torch.addcmul(outer, unit, along, value=-1).mul_(inverse)


def apply_dropout(values: Float[Tensor, "row width"], kept: Bool[Tensor, "row width"]) -> Float[Tensor, "row width"]:
    """The values kept, and zeros.

    Args:
        values: Features, scaled up by `compute_gain`.
        kept: Mask of the values to keep.

    """
    kept = kept.to(values.device)
    if values.requires_grad or values.dtype not in BITS:
        return values * kept
    bits = BITS[values.dtype]
    whole = kept.view(torch.int8).neg().to(bits)  # all bits where a value is kept: faster than a product
    return (values.view(bits) & whole).view(values.dtype)


def compute_gain(share: float) -> float:
    """Factor by which dropout, in steps of 1/256, scales the values that it keeps."""
    return 256 / (256 - compute_threshold(share))


def cast_for_products(values: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """The values in the format that autocast multiplies in, where it is on: once, not once a member."""
    kind = values.device.type
    return values.to(torch.get_autocast_dtype(kind)) if torch.is_autocast_enabled(kind) else values


def draw_mask(
    shape: tuple[int, ...], share: float, device: torch.device, generator: torch.Generator | None = None
) -> Bool[Tensor, "row width"]:
    """Draw a dropout mask, eight decisions from each random number.

    On a CPU, torch's own dropout draws one random number a value, which took as long as the rest of a training step.

    Args:
        shape: Of the mask.
        share: Probability that a value is dropped, in [0, 1).
        device: Where the mask is made.
        generator: Draws the numbers; None: torch's own.

    Returns:
        True where a value is kept.

    """
    size = math.prod(shape)
    words = torch.empty(-(-size // 8), dtype=torch.int64, device=device).random_(-(2**63), None, generator=generator)
    numbers, threshold = words.view(torch.uint8)[:size], compute_threshold(share)
    if threshold in (0, 256):
        return torch.full(shape, threshold == 0, device=device)
    kept = numbers.clamp_(threshold - 1, threshold).sub_(threshold - 1)  # 0 or 1; to compare takes ten times as long
    return kept.view(torch.bool).view(shape)


def draw_features(
    width: int, share: float, device: torch.device, generator: torch.Generator | None = None
) -> Int[Tensor, " kept"]:
    """Draw places of features to keep, in order.

    Args:
        width: Number of features.
        share: Share that is dropped, in [0, 1).
        device: Where the places are drawn.
        generator: Draws them; None: torch's own.

    """
    return torch.randperm(width, device=device, generator=generator)[: count_kept(width, share)].sort().values


def count_kept(width: int, share: float) -> int:
    """Count the features of `width` that `draw_features` keeps: at least one, of many a multiple of GRAIN."""
    count = (1 - share) * width
    return max(1, round(count) if count < 4 * GRAIN or not share else GRAIN * round(count / GRAIN))


def compute_threshold(share: float) -> int:
    """Smallest of 256 equally likely numbers for which a value is kept."""
    return round(256 * share)
