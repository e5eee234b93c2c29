"""What every retrieval benchmark shares: from unit vectors and keys to scores with intervals and chance, both directions."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from polyclip.core.storage import digest
from polyclip.errors import DataError, WeightsError
from polyclip.evaluation.metrics import PER_QUERY, Bootstrap, Chance, ndcg, per_query, places
from polyclip.evaluation.results import Measured, QueryOutcomes, Score
from polyclip.languages.schema import Language


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is to be scored. Empty `languages` means all that the benchmark has."""

    languages: list[Language] = field(default_factory=list)
    trained: frozenset[str] = frozenset()  # codes of the languages that were trained
    split: str = "test"
    data: Path | None = None
    partial: bool = False
    corpus: str = "emoji"

    def seen(self, code: str) -> bool:
        """Whether the language was trained. A regional variety counts as its language: `en-GB` is no language never trained."""
        return code.split("-")[0] in {trained.split("-")[0] for trained in self.trained}


@dataclass(frozen=True)
class Report:
    """Scores, how many of what they rest on, and what a reader must know about them."""

    scores: list[Score]
    counts: dict[str, int]
    notes: list[str]


@dataclass(frozen=True)
class Items:
    """One side of a retrieval: unit vectors, the picture each belongs to, and the cluster it is redrawn with."""

    vectors: Float[Tensor, "item dim"]
    keys: Sequence[str]
    clusters: Sequence[str]

    def only(self, keys: set[str]) -> "Items":
        """The items whose key is among `keys`."""
        kept = [row for row, key in enumerate(self.keys) if key in keys]
        return Items(self.vectors[kept], [self.keys[row] for row in kept], [self.clusters[row] for row in kept])


def both_directions(
    text: Items, image: Items, *, benchmark: str, protocol: str, split: str, language: str, seen: bool
) -> list[Score]:
    """Recall@1/5/10, their mean, mean reciprocal rank, nDCG@10 and median rank, text to image and image to text.

    A caption searches all pictures; a picture searches all captions and hits when any of its own is near enough. Pictures
    without a caption in this language stay in the gallery but are no queries. Similarity is the cosine: vectors of another
    length than one are scaled to it. Ties count against the model. The median rank is given as a share of the gallery (0 best,
    chance 0.5 for one positive), so that every value is in [0, 1]. Raises WeightsError for vectors that have no direction, that is
    values that are not finite or all zero, DataError where no caption belongs to any picture.
    """
    where = f"{benchmark}, {language}"
    text, image = directed(text, f"{where}: captions"), directed(image, f"{where}: pictures")
    named, found = image.only(set(text.keys)), text.only(set(image.keys))
    if not found.keys:
        raise DataError(
            f"{where}: none of {len(text.keys)} captions belongs to any of {len(image.keys)} pictures; expected keys that both sides have."
        )
    facts = {"benchmark": benchmark, "protocol": protocol, "split": split, "language": language, "seen": seen}
    return _scores(found, image, facts | {"direction": "text_to_image"}) + _scores(
        named, found, facts | {"direction": "image_to_text"}
    )


def directed(side: Items, where: str) -> Items:
    """The same items with vectors of length one; those that have it are not touched.

    Raises WeightsError for a vector with a value that is not finite, or of zeros.
    """
    length = side.vectors.float().norm(dim=1, keepdim=True)
    without = ~(length.isfinite() & (length > 0))
    if without.any():
        first = side.keys[int(without.nonzero()[0, 0])]
        raise WeightsError(
            f"{where}: {int(without.sum())} of {len(side.keys)} vectors are not finite or all zero, the first is that of {first!r}; "
            "the model is damaged or its training diverged. Align again with a lower learning rate, or copy the run folder again."
        )
    return side if ((length - 1).abs() < 1e-3).all() else replace(side, vectors=side.vectors.float() / length)


def _scores(query: Items, gallery: Items, facts: dict[str, Any]) -> list[Score]:
    number = {key: n for n, key in enumerate(dict.fromkeys(gallery.keys))}
    keys, item_keys = (torch.tensor([number[key] for key in side.keys]) for side in (query, gallery))
    found = places(query.vectors, gallery.vectors, keys, item_keys)
    positives = item_keys.bincount()[keys]
    chance, size = Chance(positives, len(gallery.keys)), len(gallery.keys)
    rank, gain = found[:, 0].int().numpy(), ndcg(found, positives).numpy()
    outcome = QueryOutcomes(
        **facts, gallery=size, queries=digest(*query.keys), cluster=tuple(query.clusters), rank=rank, gain=gain
    )
    columns, share = per_query(rank, gain), (rank + 1) / size
    bootstrap = Bootstrap(query.clusters)
    low, high = bootstrap.mean(columns)
    rows = [*zip(PER_QUERY, columns.mean(0), low, high, chance.per_query(), strict=True)]
    median = np.sort(share)[(len(share) - 1) // 2]
    rows.append(("median_rank", median, *bootstrap.median(share), chance.median()))
    common = facts | {"queries": len(query.keys), "gallery": size}
    return [
        Measured(outcome, metric=m, value=float(v), low=float(a), high=float(b), chance=float(c), **common)
        for m, v, a, b, c in rows
    ]
