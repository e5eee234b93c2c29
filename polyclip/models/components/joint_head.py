"""Heads that other libraries can hold: several small maps and the tower's own class names as one map, Linear-GELU-Linear of captions, Linear of images."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from polyclip.core.vectors import unit
from polyclip.models.components.heads import Projection, Shape, drawn

NAMES_WEIGHT = 0.5  # of the class names beside one member, in the cosine; chosen on emoji and photograph validation, see docs/class-names.md
SHARPNESS = 30.0  # how steeply a caption's nearness to a name counts; the same
THRESHOLD = 0.18  # the cosine below which a name counts little; the same
SHRINKAGE = 1.0  # of the captions' covariance towards its mean variance
SAMPLE = 16_384  # training features that covariances and directions are measured on
FEW = 1024  # of them, for usual lengths, which are measured before every validation


class NameUnits(nn.Module):
    """Captions to where images of what they name lie: one hidden unit for each node of the vocabulary, in closed form.

    A unit is the cosine of a caption with a node's names, in the metric in which captions of one concept are alike, through GELU; the sum of
    the nodes' prototypes, so weighted, is where an image would be.
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
        """Not normalised."""
        return nn.functional.gelu(features @ self.inner.T + self.inner_bias) @ self.outer.T

    @torch.no_grad()
    def solve(self, names: "NameFeatures", captions: "Captioned", prototypes: Float[Tensor, "node dim"]) -> None:
        """Set the units from the features of the names and of the training captions.

        Args:
            names: Features of the vocabulary's names.
            captions: Features of training captions, by which the metric is found.
            prototypes: Where images of each node lie, in the shared space's dimensions.

        """
        metric = same_concept_metric(captions, names.features)
        centre = names.features.mean(0)
        directions = unit((names.of_nodes(len(prototypes)) - centre) @ metric)
        usual = ((captions.features - centre) @ metric).norm(dim=1).mean()
        self.inner.copy_(SHARPNESS / usual * directions @ metric)  # the metric is symmetric
        self.inner_bias.copy_(-self.inner @ centre - SHARPNESS * THRESHOLD)
        self.outer.copy_(prototypes.T)


class ClassRows(nn.Module):
    """Images to the principal directions of the classifier's rows."""

    weight: Tensor

    def __init__(self, width: int, dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.register_buffer("weight", torch.zeros(dim, width))

    def forward(self, centred: Float[Tensor, "row width"]) -> Float[Tensor, "row dim"]:
        """Not normalised; features around their mean."""
        return centred @ self.weight.T

    @torch.no_grad()
    def solve(self, prototypes: Float[Tensor, "node width"]) -> Float[Tensor, "node dim"]:
        """Take the directions in which the prototypes differ most, and say where the prototypes lie among them."""
        directions = torch.linalg.svd(prototypes, full_matrices=False).Vh[: len(self.weight)]
        self.weight.zero_()
        self.weight[: len(directions)] = directions
        return unit(prototypes @ self.weight.T)


@dataclass(frozen=True)
class NameFeatures:
    """The text encoder's features of a vocabulary's names, and the node of each."""

    features: Float[Tensor, "name width"]
    node: Int[Tensor, " name"]

    def of_nodes(self, count: int) -> Float[Tensor, "node width"]:
        """The mean over each node's names."""
        total = torch.zeros(count, self.features.shape[1]).index_add_(0, self.node, self.features)
        return total / torch.bincount(self.node, minlength=count)[:, None]


@dataclass(frozen=True)
class Captioned:
    """Features of training captions, and the concept of each."""

    features: Float[Tensor, "caption width"]
    concept: Int[Tensor, " caption"]


def same_concept_metric(captions: Captioned, names: Float[Tensor, "name width"]) -> Float[Tensor, "width width"]:
    """The inverse square root of how captions of one concept differ, whatever their language; symmetric.

    Where no concept has two captions, of how the names differ. Within-class whitening as in linear discriminant analysis, shrunk towards the
    identity.
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


class JointHead(nn.Module):
    """Members, each trained by its own loss, and the class names beside them, in one space.

    A member's vector counts by its usual length on training features and is not normalised by itself, so that all of the head is one map and
    one normalisation.

    Args:
        width: Length of the tower's pooled vector.
        shape: Of the members.
        dropout: Share of the features that members go without in training.
        space: Length of the vectors; the parts' principal directions where they have more, see `fold`.
        names: The part of the class names, if there is one.

    """

    mean: Tensor
    deviation: Tensor
    spread: Tensor
    lengths: Tensor
    space: Tensor

    def __init__(
        self, width: int, shape: Shape, dropout: float, space: int, names: "NameUnits | ClassRows | None" = None
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
        """Take the mean of training features, and one deviation for all their dimensions.

        One for all, because a classifier's rows and photographs move in dimensions that drawings hardly use.
        """
        self.mean.copy_(features.mean(0))
        deviation = features.std(0)
        self.spread.copy_(deviation)
        self.deviation.fill_(deviation.square().mean().sqrt().clamp(min=1e-12))

    @property
    def is_settled(self) -> bool:
        """Whether the parts' lengths stay as they are: those of a head that was folded or is not trained."""
        return bool(self.space.any()) or not any(p.requires_grad for p in self.parameters())

    @torch.no_grad()
    def balance(self, features: Any) -> None:
        """Measure the usual length of each part on training features."""
        chosen = sampled(features, FEW).to(self.mean.device)
        self.lengths.copy_(torch.stack([part.norm(dim=1).mean() for part in self.parts(chosen)]).clamp(min=1e-12))

    def parts(self, features: Float[Tensor, "row width"]) -> list[Float[Tensor, "row part"]]:
        """What each member says, and last the class names."""
        centred = features - self.mean
        standard = centred / self.deviation
        found = [member.raw(standard) for member in self.members]  # type: ignore[operator]
        if self.names is not None:
            found.append(self.names(features if isinstance(self.names, NameUnits) else centred))
        return found

    def weights(self) -> Float[Tensor, " part"]:
        """What each part is multiplied by."""
        share = torch.ones_like(self.lengths)
        if self.names is not None:
            share[-1] = NAMES_WEIGHT * len(self.members)
        return share.sqrt() / self.lengths

    def forward(
        self, features: Float[Tensor, "row width"], kept: Sequence[Bool[Tensor, "row width"]] = ()
    ) -> Float[Tensor, "row dim"]:
        """Unit vectors in the shared space; in training those of the members alone, each of equal length."""
        if self.training:
            standard = (features - self.mean) / self.deviation
            found = [
                member(standard, *own)
                for member, own in zip(self.members, [[one] for one in kept] or [[]] * len(self.members), strict=True)
            ]
            return torch.cat(found, dim=1) * len(self.members) ** -0.5
        joined = self.joined(features)
        return unit(joined @ self.space if self.space.any() else joined)

    def joined(self, features: Float[Tensor, "row width"]) -> Float[Tensor, "row total"]:
        """All parts, weighted, side by side; not normalised, not folded."""
        return torch.cat(
            [part * weight for part, weight in zip(self.parts(features), self.weights(), strict=True)], dim=1
        )

    def draw(self, rows: int) -> list[Bool[Tensor, "row width"]]:
        """Which values each member keeps of so many rows: what `forward` would draw, so that some of the rows can be had alone."""
        return [drawn((rows, len(self.mean)), member.dropout, self.mean.device) for member in self.members]  # type: ignore[arg-type]


@torch.no_grad()
def fold(text: JointHead, text_features: Any, image: JointHead, image_features: Any) -> None:
    """Bring both sides into the principal directions of their training vectors, where the space has fewer dimensions than the parts together.

    The same directions on both sides, so that cosines stay as they are but for what lies outside. Features are those of training captions
    [caption, width] and images [image, width], tensors or rows on disk.
    """
    if text.space.shape[0] == text.space.shape[1]:
        return
    for head in (text, image):
        head.space.zero_()
    total = torch.zeros(len(text.space), len(text.space), dtype=torch.float64, device=text.mean.device)
    for head, features in ((text, text_features), (image, image_features)):
        vectors = unit(head.joined(sampled(features).to(head.mean.device))).double()
        total += vectors.T @ vectors / len(vectors)
    directions = torch.linalg.eigh(total).eigenvectors[:, -text.space.shape[1] :].flip(1)
    for head in (text, image):
        head.space.copy_(directions)


def sampled(features: Any, most: int = SAMPLE) -> Float[Tensor, "chosen width"]:
    """At most `most` rows, spread over all of them; of a tensor, or of rows that stay on disk."""
    return features[spread_rows(len(features), most)]


def spread_rows(count: int, most: int = SAMPLE) -> Int[Tensor, " chosen"]:
    """At most `most` of so many rows, evenly spread."""
    return torch.linspace(0, count - 1, min(count, most)).long()
