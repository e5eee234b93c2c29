"""What every retrieval benchmark shares: from unit vectors and keys to scores with intervals and chance, both directions."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from polyclip.metrics import Bootstrap, chance_recall, ranks, recall
from polyclip.packs import Language
from polyclip.records import Score

KS = (1, 5, 10)


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


def both_directions(text: Items, image: Items, *, benchmark: str, protocol: str, split: str, language: str, seen: bool) -> list[Score]:
    """Recall@1/5/10, their mean, and the median rank, text to image and image to text.

    A caption searches all pictures; a picture searches all captions and hits when any of its own is near enough. Pictures
    without a caption in this language stay in the gallery but are no queries. The median rank is given as a share of the
    gallery (0 best, 0.5 chance), so that every value is in [0, 1].
    """
    facts = {"benchmark": benchmark, "protocol": protocol, "split": split, "language": language, "seen": seen}
    named = image.only(set(text.keys))
    found = text.only(set(image.keys))
    return _scores(found, image, facts | {"direction": "text_to_image"}) + _scores(named, found, facts | {"direction": "image_to_text"})


def _scores(query: Items, gallery: Items, facts: dict[str, object]) -> list[Score]:
    number = {key: n for n, key in enumerate(dict.fromkeys(gallery.keys))}
    keys = (torch.tensor([number[key] for key in side.keys]) for side in (query, gallery))
    rank = ranks(query.vectors, gallery.vectors, *keys)
    size = len(gallery.keys)
    positives = len(gallery.keys) / len(number)
    hits = np.stack([recall(rank, k).numpy() for k in KS], axis=1)
    columns = np.concatenate([hits, hits.mean(1, keepdims=True)], axis=1)
    bootstrap = Bootstrap(query.clusters)
    low, high = bootstrap.mean(columns)
    chances = [chance_recall(positives, size, k) for k in KS]
    common = facts | {"queries": len(query.keys), "gallery": size}
    rows = zip([*(f"recall@{k}" for k in KS), "mean_recall"], columns.mean(0), low, high, [*chances, sum(chances) / len(KS)], strict=True)
    found = [Score(metric=m, value=float(v), low=float(a), high=float(b), chance=c, **common) for m, v, a, b, c in rows]  # type: ignore[arg-type]
    share = (rank.numpy() + 1) / size
    low_rank, high_rank = bootstrap.median(share)
    median = float(np.sort(share)[(len(share) - 1) // 2])
    return [*found, Score(metric="median_rank", value=median, low=float(low_rank), high=float(high_rank), chance=0.5, **common)]  # type: ignore[arg-type]
