"""The members of a head in training, each under a dropout of its own."""

import math
from collections.abc import Iterable
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from polyclip.core.vectors import at_least_float32

BITS = {torch.float32: torch.int32, torch.bfloat16: torch.int16}  # formats whose values are dropped by their bits


def embed_members(
    members: Any,
    standard: Float[Tensor, "row width"],
    kept: Iterable[Bool[Tensor, "row width"]],
) -> Float[Tensor, "row dim"]:
    """Embed rows with every member, under the member's own dropout.

    Args:
        members: `nn.ModuleList` of `polyclip.models.components.heads.Projection`, all of one shape and dropout.
        standard: Standardized features.
        kept: The members' dropout masks.

    Returns:
        Unit vectors, the members' parts concatenated, each of the same length.

    """
    scaled = scale_for_dropout(standard, members)
    found = [embed_member(member, apply_dropout(scaled, mask)) for member, mask in zip(members, kept, strict=True)]
    return torch.cat(found, dim=1) * len(found) ** -0.5


def scale_for_dropout(standard: Float[Tensor, "row width"], members: Any) -> Float[Tensor, "row width"]:
    """Standardized features as `apply_dropout` takes them: scaled up, and in the format of the products."""
    return cast_for_products(standard * compute_gain(members[0].dropout))


def embed_member(member: Any, dropped: Float[Tensor, "row width"]) -> Float[Tensor, "row dim"]:
    """Unit vectors of one member, of features under its dropout."""
    return UnitRows.apply(at_least_float32(member.project(dropped)))


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


def cast_for_products(values: Float[Tensor, "row width"]) -> Float[Tensor, "row width"]:
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


def compute_threshold(share: float) -> int:
    """Smallest of 256 equally likely numbers for which a value is kept."""
    return round(256 * share)
