"""Heads without a training step: ridge regression, orthogonal Procrustes, and relative representations.

Each takes both sides' data (`polyclip.training.branch_data.BranchData`) and `value`, the recall on validation with the heads as they are, by which it chooses
its few constants; the test split is never looked at.
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


def ridge(text: Any, vision: Any, value: Value) -> str:
    """Pictures go to their principal directions, captions to where ridge regression puts them there."""
    captions, weight, target = paired(text, vision)
    spread = (captions * weight[:, None]).T @ captions
    candidates = []
    for whiten in WHITENING:
        basis = directions(target, text.side.head.members[0].linear.out_features, whiten)
        right = (captions * weight[:, None]).T @ (target @ basis.T)
        for strength in STRENGTHS:
            penalty = strength * spread.diagonal().mean() * torch.eye(len(spread))
            candidates.append(
                (f"penalty {strength}, whitening {whiten}", torch.linalg.solve(spread + penalty, right).T, basis)
            )
    return best(text, vision, value, candidates)


def procrustes(text: Any, vision: Any, value: Value) -> str:
    """Both sides go to their principal directions, and one rotation lays captions on pictures (Schoenemann 1966)."""
    captions, weight, target = paired(text, vision)
    width = text.side.head.members[0].linear.out_features
    candidates = []
    for whiten, share in product(WHITENING, (0.25, 0.5, 1.0)):
        size = max(1, round(share * width))
        own, other = directions(captions, size, whiten), directions(target, size, whiten)
        left, _, right = torch.linalg.svd((captions @ own.T * weight[:, None]).T @ (target @ other.T))
        candidates.append(
            (f"whitening {whiten}, {size} directions", padded((left @ right).T @ own, width), padded(other, width))
        )
    return best(text, vision, value, candidates)


def relative(text: Any, vision: Any, value: Value) -> str:
    """Keep one caption and the mean picture of every training row as anchors (ASIF); choose how many count, and their power."""
    rows, concepts = anchor_rows(text.train_pairs)
    text.side.head.anchors.copy_(text.table[rows])
    vision.side.head.anchors.copy_(mean_pictures(vision)[concepts])
    found = []
    for share, power in product(NEAREST, POWERS):
        set_relative((text, vision), share, power)
        found.append((value(), share, power))
    _, share, power = max(found, key=lambda row: row[0])
    set_relative((text, vision), share, power)
    return f"{len(rows)} anchors, the nearest {int(text.side.head.nearest)} count, power {power:g}"


def set_relative(sides: Iterable[Any], share: float, power: float) -> None:
    """Both sides ask the same question."""
    for data in sides:
        data.side.head.nearest.fill_(max(1, round(share * len(data.side.head.anchors))))
        data.side.head.power.fill_(power)


def anchor_rows(pairs: Any) -> tuple[Int[Tensor, " anchor"], Int[Tensor, " anchor"]]:
    """Row of the first caption, which is the name, of every concept in every language, and the concepts."""
    first: dict[tuple[int, int], int] = {}
    row = 0
    for language, length in enumerate(pairs.sections[0]):
        for number in range(row, row + length):
            first.setdefault((language, int(pairs.caption_concept[number])), number)
        row += length
    rows = torch.tensor(list(first.values()))
    return rows, pairs.caption_concept[rows]


def paired(
    text: Any, vision: Any
) -> tuple[Float[Tensor, "caption width"], Float[Tensor, " caption"], Float[Tensor, "caption pixel"]]:
    """Standardised features of every training caption, how much it counts, and the mean of its concept's pictures."""
    pairs = text.train_pairs
    head, other = text.side.head, vision.side.head
    captions = (text.table[:] - head.mean) / head.deviation
    target = ((mean_pictures(vision) - other.mean) / other.deviation)[pairs.caption_concept]
    return captions, pairs.caption_weight / pairs.caption_weight.sum(), target


def mean_pictures(vision: Any) -> Float[Tensor, "concept width"]:
    """Mean feature of each concept's pictures."""
    pairs = vision.train_pairs
    known = (pairs.picture_rows >= 0)[..., None]
    return (vision.table[pairs.picture_rows.clamp(min=0)] * known).sum(1) / known.sum(1)


def directions(rows: Float[Tensor, "row width"], size: int, whiten: float) -> Float[Tensor, "size width"]:
    """The first principal directions, each divided by its spread to the power `whiten`.

    Raises DataError when there are fewer.
    """
    exact = rows.double()  # of a few pictures the matrix is so far from full rank that float32 does not converge
    values, vectors = (part.float() for part in torch.linalg.eigh(exact.T @ exact / len(rows)))
    if size > len(values):
        raise DataError(
            f"dim is {size}, but a closed-form head has at most as many dimensions as its features: {len(values)}. Give --dim {len(values)}."
        )
    spread = values[-size:].clamp(min=1e-6 * float(values[-1])).sqrt()
    return (vectors[:, -size:] / spread**whiten).T.flip(0)


def padded(rows: Float[Tensor, "few width"], size: int) -> Float[Tensor, "size width"]:
    """Zero rows below."""
    return torch.cat([rows, rows.new_zeros(size - len(rows), rows.shape[1])])


@torch.no_grad()
def best(text: Any, vision: Any, value: Value, candidates: list[tuple[str, Tensor, Tensor]]) -> str:
    """Put the candidate with the highest value into the heads; says which."""

    def put(own: Tensor, other: Tensor) -> float:
        for data, weight in ((text, own), (vision, other)):
            data.side.head.members[0].linear.weight.copy_(weight)
            data.side.head.members[0].linear.bias.zero_()
        return value()

    found = [put(own, other) for _, own, other in candidates]
    name, own, other = candidates[max(range(len(found)), key=found.__getitem__)]
    put(own, other)
    return name
