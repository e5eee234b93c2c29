"""Projection heads: from an encoder's features to the shared embedding space."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from polyclip.core.vectors import normalize
from polyclip.models.components.members import draw_mask, embed_members

HIDDEN = 384  # width of the gated branch


@dataclass(frozen=True)
class HeadShape:
    """Shape of a projection head."""

    dim: int  # length of one member's embedding
    gated: bool
    members: int
    hidden: int = 0  # units between two linear maps; 0: one linear map


class GatedBranch(nn.Module):
    """Gated linear unit W_o(relu(W_a x) * W_b x), as SAIL trains it on frozen features (arXiv 2412.04616, section 3).

    Args:
        width: Length of the input features.
        dim: Length of the output.

    """

    def __init__(self, width: int, dim: int) -> None:
        super().__init__()
        self.gate = nn.Linear(width, HIDDEN)
        self.value = nn.Linear(width, HIDDEN)
        self.out = nn.Linear(HIDDEN, dim)

    def forward(self, features: Float[Tensor, "row width"]) -> Float[Tensor, "row dim"]:
        """Apply the gated linear unit; the output is not normalized."""
        return self.out(torch.relu(self.gate(features)) * self.value(features))


class Projection(nn.Module):
    """One member of a head: linear maps, with dropout on the features in training (`embed_members`).

    Args:
        width: Length of the input features.
        dim: Length of the embeddings.
        dropout: Share of the features set to zero in training, in [0, 1).
        gated: Add a gated linear unit to the linear map.
        hidden: Units of a hidden layer (Linear-GELU-Linear); 0 for one linear map.

    """

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
        self.branch = GatedBranch(width, dim) if gated else None

    def project(self, values: Float[Tensor, "row width"]) -> Float[Tensor, "row dim"]:
        """Project without dropout and without normalization."""
        projected = self.linear(values if self.inner is None else nn.functional.gelu(self.inner(values)))
        return projected if self.branch is None else projected + self.branch(values)

    def forward(self, standard: Float[Tensor, "row width"]) -> Float[Tensor, "row dim"]:
        """Embeddings of standardized features, without dropout."""
        return normalize(self.project(standard))


class ProjectionHead(nn.Module):
    """What every head answers; a head without dropout, statistics and class names leaves it at this."""

    def draw_masks(self, rows: int, generator: torch.Generator | None = None) -> list[Bool[Tensor, "row width"]]:
        """Draw the dropout masks of `rows` rows; none without dropout."""
        return []

    def get_statistics(self, width: int) -> tuple[Float[Tensor, " width"], Float[Tensor, " width"]]:
        """What the head subtracts from features of this `width`, and what it divides them by."""
        return torch.zeros(width), torch.ones(width)

    def get_spread(self) -> Float[Tensor, " width"] | None:
        """Standard deviation of each training feature, 1 for a constant one; None where it was not measured."""
        return None

    def count_constants(self) -> int:
        """Count the values of the class names' part, which are solved, not trained."""
        return 0


class Head(ProjectionHead):
    """Standardize each feature, then project into the shared space.

    Means and standard deviations are those of the training features, measured once before the first step. They are
    constants, saved with the weights, and fold into the linear layer, so a linear head is still one linear map. Several
    `members` start from different weights, see different dropout and are trained each by its own loss; their embeddings
    are concatenated, so that a cosine is the mean of the members' cosines.

    Args:
        width: Length of the encoder's features.
        shape: Dimensions and number of the members.
        dropout: Share of the features set to zero in training, in [0, 1).

    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, width: int, shape: HeadShape, dropout: float) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("deviation", torch.ones(width))
        self.members = nn.ModuleList(
            Projection(width, shape.dim, dropout, gated=shape.gated) for _ in range(shape.members)
        )

    @torch.no_grad()
    def measure(self, features: Any) -> None:
        """Set mean and deviation from training features; a feature that is constant keeps deviation 1.

        Args:
            features: [row, width], a tensor or `polyclip.models.feature_rows.CachedFeatures`.

        """
        self.mean.copy_(features.mean(0))
        deviation = features.std(0)
        floor = 1e-3 * deviation.mean()
        self.deviation.copy_(torch.where(deviation > floor, deviation, torch.ones_like(deviation)))

    def forward(
        self, features: Float[Tensor, "row width"], kept: Sequence[Bool[Tensor, "row width"]] = ()
    ) -> Float[Tensor, "row dim"]:
        """Embed features in the shared space.

        Args:
            features: Of the encoder.
            kept: Dropout masks from `draw_masks`, one a member; in training without them, random ones are drawn.

        Returns:
            Embeddings (unit vectors).

        """
        standard = self.standardize(features)
        if self.training:
            return embed_members(self.members, standard, kept or self.draw_masks(len(features)))
        found = [member(standard) for member in self.members]
        return torch.cat(found, dim=1) * len(self.members) ** -0.5

    def project(self, features: Float[Tensor, "row width"]) -> Float[Tensor, "row dim"]:
        """What `forward` normalizes member by member, without dropout."""
        standard = self.standardize(features)
        return torch.cat([member.project(standard) for member in self.members], dim=1)  # type: ignore[operator]

    def draw_masks(self, rows: int, generator: torch.Generator | None = None) -> list[Bool[Tensor, "row width"]]:
        """Draw each member's dropout mask for `rows` rows, as `forward` would, so that rows can be embedded in several
        parts.
        """
        shape, device = (rows, len(self.mean)), self.mean.device
        return [draw_mask(shape, member.dropout, device, generator) for member in self.members]  # type: ignore[arg-type]

    def standardize(self, features: Float[Tensor, "row width"]) -> Float[Tensor, "row width"]:
        """Subtract the training features' mean and divide by their standard deviation."""
        return (features - self.mean) / self.deviation

    def get_statistics(self, width: int) -> tuple[Float[Tensor, " width"], Float[Tensor, " width"]]:
        """Mean and standard deviation of the training features."""
        return self.mean, self.deviation

    def get_spread(self) -> Float[Tensor, " width"] | None:
        """Standard deviation of each training feature, 1 for a constant one."""
        return self.deviation


class RelativeHead(ProjectionHead):
    """Relative representation: similarities of a caption, or an image, to many known pairs (ASIF).

    Cosines with the pairs' captions or images; all but the `nearest` largest are set to zero, the rest raised to a
    `power`, then normalized (Norelli et al. 2023, arXiv 2210.01738, algorithm 1). Nothing is trained: the head stores
    the pairs.

    Args:
        width: Length of the encoder's features.
        anchors: Number of known pairs, the length of an embedding.

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
        """Set the mean of the training features, around which cosines are taken, since an encoder's features share a
        direction.
        """
        self.mean.copy_(features.mean(0))

    def get_statistics(self, width: int) -> tuple[Float[Tensor, " width"], Float[Tensor, " width"]]:
        """Mean of the training features, and ones."""
        return self.mean, torch.ones(width)

    def forward(self, features: Float[Tensor, "row width"]) -> Float[Tensor, "row anchor"]:
        """Embeddings (unit vectors) with one dimension for each pair."""
        return normalize(self.project(features))

    def project(self, features: Float[Tensor, "row width"]) -> Float[Tensor, "row anchor"]:
        """Similarities to the known pairs, not normalized."""
        cosine = (normalize(features - self.mean) @ normalize(self.anchors - self.mean).T).clamp(min=0)
        least = cosine.topk(int(self.nearest), dim=1).values[:, -1:]
        return torch.where(cosine >= least, cosine, 0.0) ** self.power


class IdentityHead(ProjectionHead):
    """No projection, for encoders whose embeddings are in the shared space already, such as an aligned teacher's."""

    def measure(self, features: Any) -> None:
        """No-op: this head has no statistics."""

    def forward(self, features: Float[Tensor, "row width"]) -> Float[Tensor, "row width"]:
        """Normalize the features to unit length."""
        return normalize(features)

    def project(self, features: Float[Tensor, "row width"]) -> Float[Tensor, "row width"]:
        """The features as they are."""
        return features
