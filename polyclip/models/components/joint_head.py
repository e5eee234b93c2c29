"""Heads that other libraries can load: several small projections and the vision encoder's class names as one map.

Captions go through Linear-GELU-Linear, images through Linear.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from polyclip.core.vectors import fix_signs, normalize
from polyclip.models.components.heads import HeadShape, Projection, ProjectionHead
from polyclip.models.components.members import draw_mask, embed_members

# The next three were chosen on emoji and photograph validation, see docs/explanation/class-names.md.
NAMES_WEIGHT = 0.5  # of the class names beside one member, in the cosine
SHARPNESS = 30.0  # slope at which a caption's cosine with a name counts
THRESHOLD = 0.21  # the cosine below which a name counts little
TRANSLATION = 0.5  # how much a node's name in another language counts beside the mean of its English names
SHRINKAGE = 1.0  # of the captions' covariance towards its mean variance
SAMPLE = 16_384  # training features that covariances and directions are measured on
FEW = 1024  # of them, for mean lengths
FEWER = 256  # of them, for mean lengths before a validation: with more it would take three times as long


class NameUnits(nn.Module):
    """Map captions to where images of what they name lie: one hidden unit for each node of the vocabulary, in closed
    form.

    A unit is GELU of the scaled cosine between a caption and a node's names, in the metric in which captions of one
    concept are close. The output is the sum of the nodes' prototypes with these weights.

    Args:
        width: Length of the text encoder's features.
        units: Nodes of the vocabulary.
        dim: Length of the output.

    """

    inner: Tensor
    inner_bias: Tensor
    outer: Tensor

    def __init__(self, width: int, units: int, dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.register_buffer("inner", torch.zeros(units, width))
        self.register_buffer("inner_bias", torch.zeros(units))
        self.register_buffer("outer", torch.zeros(dim, units))

    def forward(self, features: Float[Tensor, "row width"]) -> Float[Tensor, "row dim"]:
        """Weighted sum of the prototypes; the output is not normalized."""
        return nn.functional.gelu(features @ self.inner.T + self.inner_bias) @ self.outer.T

    @torch.no_grad()
    def solve(self, names: "NameFeatures", captions: "CaptionFeatures", prototypes: Float[Tensor, "node dim"]) -> None:
        """Set the weights from the features of the names and of the training captions.

        Args:
            names: Features of the vocabulary's names.
            captions: Features of training captions, from which the metric is estimated.
            prototypes: Where images of each node lie, in the shared space's dimensions.

        """
        metric = compute_within_concept_metric(captions, names.features)
        centre = names.features[: names.english].mean(0)
        directions = normalize((names.average_nodes(len(prototypes)) - centre) @ metric)
        usual = ((captions.features - centre) @ metric).norm(dim=1).mean()
        self.inner.copy_(SHARPNESS / usual * directions @ metric)  # the metric is symmetric
        self.inner_bias.copy_(-self.inner @ centre - SHARPNESS * THRESHOLD)
        self.outer.copy_(prototypes.T)


class ClassRows(nn.Module):
    """Project images on the principal directions of the classifier's rows.

    Args:
        width: Length of the vision encoder's features.
        dim: Number of directions.

    """

    weight: Tensor

    def __init__(self, width: int, dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.register_buffer("weight", torch.zeros(dim, width))

    def forward(self, centred: Float[Tensor, "row width"]) -> Float[Tensor, "row dim"]:
        """Project centered features; the output is not normalized."""
        return centred @ self.weight.T

    @torch.no_grad()
    def solve(self, prototypes: Float[Tensor, "node width"]) -> Float[Tensor, "node dim"]:
        """Set the directions in which the prototypes differ most.

        Args:
            prototypes: Of the vocabulary's nodes, in the encoder's feature space.

        Returns:
            The prototypes in these directions, as unit vectors.

        """
        directions = fix_signs(torch.linalg.svd(prototypes, full_matrices=False).Vh[: len(self.weight)].T).T
        self.weight.zero_()
        self.weight[: len(directions)] = directions
        return normalize(prototypes @ self.weight.T)


@dataclass(frozen=True)
class NameFeatures:
    """The text encoder's features of a vocabulary's names, English ones first, and the node of each."""

    features: Float[Tensor, "name width"]
    node: Int[Tensor, " name"]
    english: int

    def average_nodes(self, count: int) -> Float[Tensor, "node width"]:
        """Features of each of `count` nodes: the mean of its English names, and its other names with less weight."""
        alike = torch.bincount(self.node[: self.english], minlength=count)
        weight = torch.full((len(self.node),), TRANSLATION)
        weight[: self.english] = 1 / alike[self.node[: self.english]]
        total = torch.zeros(count, self.features.shape[1]).index_add_(0, self.node, self.features * weight[:, None])
        return total / torch.zeros(count).index_add_(0, self.node, weight)[:, None]


@dataclass(frozen=True)
class CaptionFeatures:
    """Features of training captions, and the concept of each."""

    features: Float[Tensor, "caption width"]
    concept: Int[Tensor, " caption"]


def compute_within_concept_metric(
    captions: CaptionFeatures, names: Float[Tensor, "name width"]
) -> Float[Tensor, "width width"]:
    """Inverse square root of the within-concept covariance of captions, across languages; symmetric.

    Where no concept has two captions, the covariance of the names is used. This is within-class whitening as in linear
    discriminant analysis, shrunk towards the identity.

    Args:
        captions: Features of training captions with their concepts.
        names: Features of the class names, the fallback.

    Returns:
        A matrix M; distances are measured between M x and M y.

    """
    _, concept = captions.concept.unique(return_inverse=True)
    count = torch.bincount(concept)
    mean = (
        torch.zeros(len(count), captions.features.shape[1]).index_add_(0, concept, captions.features) / count[:, None]
    )
    rest = (captions.features - mean[concept])[count[concept] > 1]
    rest = rest if len(rest) > rest.shape[1] else names - names.mean(0)
    covariance = rest.T @ rest / max(1, len(rest))
    level = SHRINKAGE * covariance.diagonal().mean().clamp(min=1e-12)
    values, vectors = torch.linalg.eigh(
        covariance.double() + level.double() * torch.eye(len(covariance), dtype=torch.float64)
    )
    return ((vectors * values.clamp(min=1e-12) ** -0.5) @ vectors.T).float()


class JointHead(ProjectionHead):
    """Several projections and the class names in one space, as one map and one normalization.

    Each member is trained by its own loss. A member's output is divided by its mean length on training features instead
    of being normalized by itself, so that the whole head is one map.

    Args:
        width: Length of the encoder's features.
        shape: Shape of the members.
        dropout: Share of the features that members drop in training, in [0, 1).
        space: Length of the embeddings; see `fold` for when the parts together have more dimensions.
        names: The part of the class names, if there is one.

    """

    mean: Tensor
    deviation: Tensor
    spread: Tensor
    lengths: Tensor
    space: Tensor

    def __init__(
        self, width: int, shape: HeadShape, dropout: float, space: int, names: "NameUnits | ClassRows | None" = None
    ) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("deviation", torch.ones(width))
        self.register_buffer(
            "spread", torch.ones(width)
        )  # of each dimension by itself; exports leave out the dimension that says least
        self.members = nn.ModuleList(
            Projection(width, shape.dim, dropout, gated=shape.gated, hidden=shape.hidden) for _ in range(shape.members)
        )
        self.names = names
        self.register_buffer("lengths", torch.ones(shape.members + (names is not None)))
        total = shape.dim * shape.members + (0 if names is None else names.dim)
        self.register_buffer("space", torch.zeros(total, min(space, total)))  # of zeros until it is folded

    @torch.no_grad()
    def measure(self, features: Any) -> None:
        """Set the mean of the training features, and one standard deviation for all of them.

        One for all, because classifier rows and photographs vary in dimensions that drawings hardly use.

        Args:
            features: [row, width], a tensor or `polyclip.models.feature_rows.CachedFeatures`.

        """
        self.mean.copy_(features.mean(0))
        deviation = features.std(0)
        self.spread.copy_(deviation)
        self.deviation.fill_(deviation.square().mean().sqrt().clamp(min=1e-12))

    @property
    def is_settled(self) -> bool:
        """Whether the parts' lengths are final: the head was folded or is not trained."""
        return bool(self.space.any()) or not any(p.requires_grad for p in self.parameters())

    @torch.no_grad()
    def balance(self, features: Any) -> None:
        """Measure the mean output length of each member on training features."""
        chosen = sample_rows(features, FEW).to(self.mean.device)
        self.lengths[: len(self.members)] = measure_lengths(self.compute_members(chosen))

    @torch.no_grad()
    def balance_names(self, features: Any) -> None:
        """Measure the mean output length of the class names, once: training does not change them."""
        chosen = sample_rows(features, FEW).to(self.mean.device)
        self.lengths[-1:] = measure_lengths([self.compute_names(chosen)])

    def compute_parts(
        self, features: Float[Tensor, "row width"], of_names: Float[Tensor, "row name_dim"] | None = None
    ) -> list[Float[Tensor, "row part"]]:
        """Output of each member, and as the last one that of the class names, given or computed."""
        found = self.compute_members(features)
        if self.names is None:
            return found
        return [*found, self.compute_names(features) if of_names is None else of_names]

    def compute_members(self, features: Float[Tensor, "row width"]) -> list[Float[Tensor, "row dim"]]:
        """Output of each member, without dropout."""
        standard = self.standardize(features)
        return [member.project(standard) for member in self.members]  # type: ignore[operator]

    def compute_names(self, features: Float[Tensor, "row width"]) -> Float[Tensor, "row part"]:
        """Output of the class names, of a head that has them."""
        return self.names(features if isinstance(self.names, NameUnits) else features - self.mean)  # type: ignore[misc]

    def compute_weights(self) -> Float[Tensor, " part"]:
        """Factor by which each part's output is multiplied."""
        share = torch.ones_like(self.lengths)
        if self.names is not None:
            share[-1] = NAMES_WEIGHT * len(self.members)
        return share.sqrt() / self.lengths

    def forward(
        self,
        features: Float[Tensor, "row width"],
        kept: Sequence[Bool[Tensor, "row width"]] = (),
        of_names: Float[Tensor, "row name_dim"] | None = None,
    ) -> Float[Tensor, "row dim"]:
        """Embed features in the shared space.

        Args:
            features: Of the encoder.
            kept: Dropout masks from `draw_masks`, one a member; in training without them, random ones are drawn.
            of_names: What `compute_names` returned of these features before; training does not change it.

        Returns:
            Embeddings (unit vectors); in training those of the members alone, each of equal length.

        """
        if self.training:
            standard = self.standardize(features)
            return embed_members(self.members, standard, kept or self.draw_masks(len(features)))
        return normalize(self.project(features, of_names))

    def project(
        self, features: Float[Tensor, "row width"], of_names: Float[Tensor, "row name_dim"] | None = None
    ) -> Float[Tensor, "row dim"]:
        """Embeddings before they are normalized, without dropout."""
        joined = self.concatenate(features, of_names)
        return joined @ self.space if self.space.any() else joined

    def concatenate(
        self, features: Float[Tensor, "row width"], of_names: Float[Tensor, "row name_dim"] | None = None
    ) -> Float[Tensor, "row total"]:
        """All parts, weighted and concatenated; not normalized, not folded."""
        parts = zip(self.compute_parts(features, of_names), self.compute_weights(), strict=True)
        return torch.cat([part * weight for part, weight in parts], dim=1)

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
        """Mean of the training features, and one standard deviation for all of them."""
        return self.mean, self.deviation

    def get_spread(self) -> Float[Tensor, " width"] | None:
        """Standard deviation of each training feature."""
        return self.spread

    def count_constants(self) -> int:
        """Count the values of the class names' part."""
        return 0 if self.names is None else sum(buffer.numel() for buffer in self.names.buffers())


@torch.no_grad()
def fold(text: JointHead, text_features: Any, image: JointHead, image_features: Any) -> None:
    """Reduce both heads' embeddings to the principal directions of the training embeddings.

    Does nothing where the space has as many dimensions as the parts together. Both heads get the same directions, so
    that cosines change only by what lies outside them.

    Args:
        text: Head of the text branch.
        text_features: Features of training captions, [caption, width], a tensor or rows on disk.
        image: Head of the vision branch.
        image_features: Features of training images, [image, width].

    """
    if text.space.shape[0] == text.space.shape[1]:
        return
    for head in (text, image):
        head.space.zero_()
    total = torch.zeros(len(text.space), len(text.space), dtype=torch.float64, device=text.mean.device)
    for head, features in ((text, text_features), (image, image_features)):
        vectors = normalize(head.concatenate(sample_rows(features).to(head.mean.device))).double()
        total += vectors.T @ vectors / len(vectors)
    directions = fix_signs(torch.linalg.eigh(total).eigenvectors[:, -text.space.shape[1] :].flip(1))
    for head in (text, image):
        head.space.copy_(directions)


def measure_lengths(parts: Sequence[Float[Tensor, "row dim"]]) -> Float[Tensor, " part"]:
    """Mean length of each part's rows."""
    return torch.stack([part.norm(dim=1).mean() for part in parts]).clamp(min=1e-12)


def sample_rows(features: Any, most: int = SAMPLE) -> Float[Tensor, "chosen width"]:
    """Take at most `most` rows, evenly spread; from a tensor, or from rows that stay on disk."""
    return features[spread_rows(len(features), most)]


def spread_rows(count: int, most: int = SAMPLE) -> Int[Tensor, " chosen"]:
    """Choose at most `most` of `count` rows, evenly spread."""
    return torch.linspace(0, count - 1, min(count, most)).long()
