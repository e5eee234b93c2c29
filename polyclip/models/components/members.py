"""The members of a head in training, each under a dropout of its own."""

import math
from collections.abc import Iterable
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn


def embed_members(
    members: Iterable[Any],
    standard: Float[Tensor, "row width"],
    kept: Iterable[Bool[Tensor, "row width"]],
) -> Float[Tensor, "row dim"]:
    """Embed rows with every member, under the member's own dropout.

    Args:
        members: `polyclip.models.components.heads.Projection`, all of one shape.
        standard: Standardized features.
        kept: The members' dropout masks.

    Returns:
        Unit vectors, the members' parts concatenated, each of the same length.

    """
    found = [
        nn.functional.normalize(member.project(apply_dropout(standard, member.dropout, mask)), dim=1)
        for member, mask in zip(members, kept, strict=True)
    ]
    return torch.cat(found, dim=1) * len(found) ** -0.5


def apply_dropout(
    values: Float[Tensor, "row width"], share: float, kept: Bool[Tensor, "row width"]
) -> Float[Tensor, "row width"]:
    """Inverted dropout in steps of 1/256.

    Args:
        values: Features.
        share: Probability that a value is set to zero, in [0, 1).
        kept: Mask of the values to keep.

    Returns:
        The values kept, scaled up, and zeros.

    """
    kept, scaled = kept.to(values.device), values * (256 / (256 - compute_threshold(share)))
    if scaled.requires_grad or scaled.dtype != torch.float32:
        return scaled * kept
    whole = kept.view(torch.int8).neg().to(torch.int32)  # all bits where a value is kept: faster than a product
    return (scaled.view(torch.int32) & whole).view(torch.float32)


def draw_mask(shape: tuple[int, ...], share: float, device: torch.device) -> Bool[Tensor, "row width"]:
    """Draw a dropout mask, eight decisions from each random number.

    On a CPU, torch's own dropout draws one random number a value, which took as long as the rest of a training step.

    Args:
        shape: Of the mask.
        share: Probability that a value is dropped, in [0, 1).
        device: Where the mask is made.

    Returns:
        True where a value is kept.

    """
    size = math.prod(shape)
    words = torch.empty(-(-size // 8), dtype=torch.int64, device=device).random_(-(2**63), None)
    return words.view(torch.uint8)[:size].view(shape) >= compute_threshold(share)


def compute_threshold(share: float) -> int:
    """Smallest of 256 equally likely numbers for which a value is kept."""
    return round(256 * share)
