"""Heads fitted without gradient steps: ridge regression, orthogonal Procrustes, and relative representations.

Each function takes the data of both branches (`polyclip.training.branch_data.BranchData`) and `value`, which returns
validation recall with the heads as they are. The few hyperparameters are chosen by it; the test split is never read.
"""

from collections.abc import Callable, Iterable
from itertools import product
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from polyclip.errors import DataError

Value = Callable[[], float]
STRENGTHS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)  # of the penalty, as a share of the features' mean variance
WHITENING = (0.0, 0.5, 1.0)  # 0 keeps the spread of the principal directions, 1 makes them equal
POWERS = (1.0, 2.0, 4.0, 8.0)  # ASIF's p
NEAREST = (0.02, 0.05, 0.1, 0.3, 1.0)  # ASIF's k, as a share of the anchors


def fit_ridge(text: Any, vision: Any, value: Value) -> str:
    """Project images on their principal directions, and captions on the same space by ridge regression.

    Args:
        text: Data of the text branch.
        vision: Data of the vision branch.
        value: Returns validation recall, in [0, 1], with the heads as they are.

    Returns:
        The chosen penalty and whitening, for the log.

    """
    captions, weight, target = build_regression_data(text, vision)
    spread = (captions * weight[:, None]).T @ captions
    candidates = []
    for whiten in WHITENING:
        basis = compute_directions(target, text.side.head.members[0].linear.out_features, whiten)
        right = (captions * weight[:, None]).T @ (target @ basis.T)
        for strength in STRENGTHS:
            penalty = strength * spread.diagonal().mean() * torch.eye(len(spread))
            candidates.append(
                (f"penalty {strength}, whitening {whiten}", torch.linalg.solve(spread + penalty, right).T, basis)
            )
    return install_best(text, vision, value, candidates)


def fit_procrustes(text: Any, vision: Any, value: Value) -> str:
    """Project both modalities on their principal directions and rotate captions onto images (Schoenemann 1966).

    Args:
        text: Data of the text branch.
        vision: Data of the vision branch.
        value: Returns validation recall, in [0, 1], with the heads as they are.

    Returns:
        The chosen whitening and number of directions, for the log.

    """
    captions, weight, target = build_regression_data(text, vision)
    width = text.side.head.members[0].linear.out_features
    candidates = []
    for whiten, share in product(WHITENING, (0.25, 0.5, 1.0)):
        size = max(1, round(share * width))
        own, other = compute_directions(captions, size, whiten), compute_directions(target, size, whiten)
        left, _, right = torch.linalg.svd((captions @ own.T * weight[:, None]).T @ (target @ other.T))
        candidates.append(
            (f"whitening {whiten}, {size} directions", pad_rows((left @ right).T @ own, width), pad_rows(other, width))
        )
    return install_best(text, vision, value, candidates)


def fit_relative(text: Any, vision: Any, value: Value) -> str:
    """Keep the training pairs as anchors (ASIF): one caption and the mean image features of each.

    Chooses by validation recall how many anchors count and their power.

    Args:
        text: Data of the text branch.
        vision: Data of the vision branch.
        value: Returns validation recall, in [0, 1], with the heads as they are.

    Returns:
        The number of anchors and the chosen values, for the log.

    """
    rows, concepts = find_anchor_rows(text.train_pairs)
    text.side.head.anchors.copy_(text.table[rows])
    vision.side.head.anchors.copy_(average_image_features(vision)[concepts])
    found = []
    for share, power in product(NEAREST, POWERS):
        set_relative((text, vision), share, power)
        found.append((value(), share, power))
    _, share, power = max(found, key=lambda row: row[0])
    set_relative((text, vision), share, power)
    return f"{len(rows)} anchors, the nearest {int(text.side.head.nearest)} count, power {power:g}"


def set_relative(sides: Iterable[Any], share: float, power: float) -> None:
    """Set the share of anchors that count and their power in the heads of both branches."""
    for data in sides:
        data.side.head.nearest.fill_(max(1, round(share * len(data.side.head.anchors))))
        data.side.head.power.fill_(power)


def find_anchor_rows(pairs: Any) -> tuple[Int[Tensor, " anchor"], Int[Tensor, " anchor"]]:
    """Find the anchors: for each concept and language the row of its first caption, which is its name.

    Args:
        pairs: Training pairs.

    Returns:
        Caption rows and the concept of each, both [anchor].

    """
    first: dict[tuple[int, int], int] = {}
    row = 0
    for language, length in enumerate(pairs.sections[0]):
        for number in range(row, row + length):
            first.setdefault((language, int(pairs.caption_concept[number])), number)
        row += length
    rows = torch.tensor(list(first.values()))
    return rows, pairs.caption_concept[rows]


def build_regression_data(
    text: Any, vision: Any
) -> tuple[Float[Tensor, "caption width"], Float[Tensor, " caption"], Float[Tensor, "caption pixel"]]:
    """Build the regression problem from captions to images.

    Args:
        text: Data of the text branch.
        vision: Data of the vision branch.

    Returns:
        Standardized features of every training caption, its weight (they sum to 1), and the mean standardized features
        of its concept's images.

    """
    pairs = text.train_pairs
    head, other = text.side.head, vision.side.head
    captions = (text.table[:] - head.mean) / head.deviation
    target = ((average_image_features(vision) - other.mean) / other.deviation)[pairs.caption_concept]
    return captions, pairs.caption_weight / pairs.caption_weight.sum(), target


def average_image_features(vision: Any) -> Float[Tensor, "concept width"]:
    """Mean features of each concept's images, [concept, width]."""
    pairs = vision.train_pairs
    known = (pairs.image_rows >= 0)[..., None]
    return (vision.table[pairs.image_rows.clamp(min=0)] * known).sum(1) / known.sum(1)


def compute_directions(rows: Float[Tensor, "row width"], size: int, whiten: float) -> Float[Tensor, "size width"]:
    """Compute the first principal directions of feature rows, optionally whitened.

    Args:
        rows: Features.
        size: Number of directions.
        whiten: Each direction is divided by its standard deviation to this power: 0 keeps it, 1 whitens.

    Returns:
        Directions [size, width], that of the largest variance first.

    Raises:
        DataError: The features have fewer dimensions than `size`.

    """
    exact = rows.double()  # of a few images the matrix is so far from full rank that float32 does not converge
    values, vectors = (part.float() for part in torch.linalg.eigh(exact.T @ exact / len(rows)))
    if size > len(values):
        raise DataError(
            f"dim is {size}, but a closed-form head has at most as many dimensions as its features: {len(values)}. "
            f"Give --head-dim {len(values)}."
        )
    spread = values[-size:].clamp(min=1e-6 * float(values[-1])).sqrt()
    return (vectors[:, -size:] / spread**whiten).T.flip(0)


def pad_rows(rows: Float[Tensor, "few width"], size: int) -> Float[Tensor, "size width"]:
    """Append zero rows up to `size` rows."""
    return torch.cat([rows, rows.new_zeros(size - len(rows), rows.shape[1])])


@torch.no_grad()
def install_best(text: Any, vision: Any, value: Value, candidates: list[tuple[str, Tensor, Tensor]]) -> str:
    """Put the candidate with the highest validation recall into the heads; return its name."""

    def put(own: Tensor, other: Tensor) -> float:
        for data, weight in ((text, own), (vision, other)):
            data.side.head.members[0].linear.weight.copy_(weight)
            data.side.head.members[0].linear.bias.zero_()
        return value()

    found = [put(own, other) for _, own, other in candidates]
    name, own, other = candidates[max(range(len(found)), key=found.__getitem__)]
    put(own, other)
    return name
