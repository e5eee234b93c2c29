"""Projection heads: from a tower's pooled vector to the shared space."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from polyclip.core.vectors import unit

HIDDEN = 384  # width of the gated branch


@dataclass(frozen=True)
class Shape:
    """What the heads of both sides have in common."""

    dim: int  # length of one member's vector
    gated: bool
    members: int
    hidden: int = 0  # units between two linear maps; 0: one linear map


class Gated(nn.Module):
    """W_o(relu(W_a x) * W_b x): the gated linear unit that SAIL trains on frozen features (arXiv 2412.04616, section 3)."""

    def __init__(self, width: int, dim: int) -> None:
        super().__init__()
        self.gate = nn.Linear(width, HIDDEN)
        self.value = nn.Linear(width, HIDDEN)
        self.out = nn.Linear(HIDDEN, dim)

    def forward(self, features: Float[Tensor, "row width"]) -> Float[Tensor, "row dim"]:
        """Not normalised."""
        return self.out(torch.relu(self.gate(features)) * self.value(features))


class Projection(nn.Module):
    """Drop some dimensions, project, normalise: a linear map, with `gated` a gated branch added to it, with `hidden` Linear-GELU-Linear instead."""

    def __init__(self, width: int, dim: int, dropout: float, *, gated: bool, hidden: int = 0) -> None:
        super().__init__()
        self.dropout = dropout
        self.inner = nn.Linear(width, hidden) if hidden else None
        self.linear = nn.Linear(hidden or width, dim)
        if self.inner is not None:
            nn.init.normal_(self.inner.weight, std=width**-0.5)
            nn.init.zeros_(self.inner.bias)
        nn.init.normal_(self.linear.weight, std=(hidden or width) ** -0.5)
        nn.init.zeros_(self.linear.bias)
        self.branch = Gated(width, dim) if gated else None

    def raw(self, values: Float[Tensor, "row width"]) -> Float[Tensor, "row dim"]:
        """Not normalised, nothing left out."""
        projected = self.linear(values if self.inner is None else nn.functional.gelu(self.inner(values)))
        return projected if self.branch is None else projected + self.branch(values)

    def forward(
        self, standard: Float[Tensor, "row width"], chosen: Bool[Tensor, "row width"] | None = None
    ) -> Float[Tensor, "row dim"]:
        """Unit vectors. In training, values are left out as `chosen` says, or at random."""
        return unit(self.raw(left_out(standard, self.dropout, chosen) if self.training else standard))


class Head(nn.Module):
    """Standardise each dimension, then project into the shared space.

    Means and deviations are those of the training features, measured once before the first step: constants, kept with the weights.
    They fold into the linear layer, so a linear head is still one linear map. Several `members` start apart, drop other dimensions
    and are trained each by its own loss; their vectors stand side by side, so that a cosine is the mean of their cosines.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, width: int, shape: Shape, dropout: float) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("deviation", torch.ones(width))
        self.members = nn.ModuleList(
            Projection(width, shape.dim, dropout, gated=shape.gated) for _ in range(shape.members)
        )

    @torch.no_grad()
    def measure(self, features: Any) -> None:
        """Take mean and deviation from training features [row, width], a tensor or rows on disk; a dimension that never moves keeps deviation 1."""
        self.mean.copy_(features.mean(0))
        deviation = features.std(0)
        floor = 1e-3 * deviation.mean()
        self.deviation.copy_(torch.where(deviation > floor, deviation, torch.ones_like(deviation)))

    def forward(
        self, features: Float[Tensor, "row width"], kept: Sequence[Bool[Tensor, "row width"]] = ()
    ) -> Float[Tensor, "row dim"]:
        """Unit vectors in the shared space; in training, with what `draw` said of these rows, or with dropout of their own."""
        standard = (features - self.mean) / self.deviation
        found = [
            member(standard, *own)
            for member, own in zip(self.members, [[one] for one in kept] or [[]] * len(self.members), strict=True)
        ]
        return torch.cat(found, dim=1) * len(self.members) ** -0.5

    def draw(self, rows: int) -> list[Bool[Tensor, "row width"]]:
        """Which values each member keeps of so many rows: what `forward` would draw, so that some of the rows can be had alone."""
        return [drawn((rows, len(self.mean)), member.dropout, self.mean.device) for member in self.members]  # type: ignore[arg-type]


class Relative(nn.Module):
    """How near a caption, or a picture, is to each of many known pairs: the same question on both sides, so that answers compare.

    Cosines with the pairs' captions or pictures, all but the `nearest` largest set to zero, the rest raised to a `power`, normalised
    (Norelli et al. 2023, ASIF, arXiv 2210.01738, algorithm 1). Nothing is trained: the pairs themselves are kept.
    """

    mean: Tensor
    anchors: Tensor
    nearest: Tensor
    power: Tensor

    def __init__(self, width: int, anchors: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("anchors", torch.zeros(anchors, width))
        self.register_buffer("nearest", torch.tensor(anchors))
        self.register_buffer("power", torch.tensor(1.0))

    @torch.no_grad()
    def measure(self, features: Any) -> None:
        """Cosines are taken around the mean of the training features: around zero, all vectors of an encoder point the same way."""
        self.mean.copy_(features.mean(0))

    def forward(self, features: Float[Tensor, "row width"]) -> Float[Tensor, "row anchor"]:
        """Unit vectors, one dimension for each pair."""
        cosine = (unit(features - self.mean) @ unit(self.anchors - self.mean).T).clamp(min=0)
        least = cosine.topk(int(self.nearest), dim=1).values[:, -1:]
        return unit(torch.where(cosine >= least, cosine, 0.0) ** self.power)


class Pass(nn.Module):
    """No head: the tower's vectors are in the shared space already, as those of an aligned teacher."""

    def measure(self, features: Any) -> None:
        """There is nothing to measure."""

    def forward(self, features: Float[Tensor, "row width"]) -> Float[Tensor, "row width"]:
        """Unit vectors."""
        return unit(features)


def left_out(
    values: Float[Tensor, "row width"], share: float, chosen: Bool[Tensor, "row width"] | None = None
) -> Float[Tensor, "row width"]:
    """Inverted dropout with `share` in steps of 1/256, of values drawn now unless they were `chosen`."""
    kept = drawn(tuple(values.shape), share, values.device) if chosen is None else chosen.to(values.device)
    return values * kept * (256 / (256 - least(share)))


def drawn(shape: tuple[int, ...], share: float, device: torch.device) -> Bool[Tensor, "row width"]:
    """Which values stay: eight decisions from each random number.

    On a CPU, torch's own dropout draws one number a value, which took as long as the rest of a training step.
    """
    size = math.prod(shape)
    words = torch.empty(-(-size // 8), dtype=torch.int64, device=device).random_(-(2**63), None)
    return words.view(torch.uint8)[:size].view(shape) >= least(share)


def least(share: float) -> int:
    """The smallest of 256 equally likely numbers whose value stays."""
    return round(256 * share)
