"""Scoring that all retrieval benchmarks share: from embeddings and keys to scores in both directions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from polyclip.core.storage import hash_parts
from polyclip.data.types import Row
from polyclip.errors import DataError, WeightsError
from polyclip.evaluation.chance import RECALLS, compute_chance_p
from polyclip.evaluation.metrics import PER_QUERY, Bootstrap, Chance, compute_query_metrics, ndcg, rank_positives
from polyclip.evaluation.results import PerQueryScore, QueryOutcomes, Score
from polyclip.languages.schema import Language


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to score; every benchmark gets one.

    Attributes:
        languages: Languages to score; empty means all that the benchmark has.
        trained: Codes of the languages that the model was trained on.
        split: Name of the split.
        data: Folder or file of the benchmark, from `--data`.
        partial: Accept a part of the official files; the scores are then marked PARTIAL.
        corpus: Name or path of the corpus, for held-out concepts.
        rows: Of this split by name of a corpus, where they were read before: by language, and the codes of languages
            that name too few concepts, as `polyclip.evaluation.held_out.read_named_rows` returns them.

    """

    languages: list[Language] = field(default_factory=list)
    trained: frozenset[str] = frozenset()  # codes of the languages that were trained
    split: str = "test"
    data: Path | None = None
    partial: bool = False
    corpus: str = "emoji"
    rows: Mapping[str, tuple[dict[str, list[Row]], list[str]]] = field(default_factory=dict)

    def is_seen(self, code: str) -> bool:
        """Whether the language was trained.

        Regional varieties count as their language, so `en-GB` is seen with `en`.
        """
        return code.split("-")[0] in {trained.split("-")[0] for trained in self.trained}


@dataclass(frozen=True)
class BenchmarkReport:
    """What a benchmark returns: scores, counts of what they are based on, and notes for readers."""

    scores: list[Score]
    counts: dict[str, int]
    notes: list[str]
    without: list[str] = field(default_factory=list)  # codes of requested languages without a caption to score
    embeddings: Mapping[str, Float[Tensor, "name dim"]] = field(default_factory=dict)  # of a corpus' names by language


@dataclass(frozen=True)
class Items:
    """One side of a retrieval task: queries or gallery.

    Attributes:
        embeddings: One row per item.
        keys: Key of the image that each item belongs to.
        clusters: Cluster that each item is resampled with.

    """

    embeddings: Float[Tensor, "item dim"]
    keys: Sequence[str]
    clusters: Sequence[str]

    def select(self, keys: set[str]) -> "Items":
        """Return the items whose key is among `keys`."""
        kept = [row for row, key in enumerate(self.keys) if key in keys]
        return Items(self.embeddings[kept], [self.keys[row] for row in kept], [self.clusters[row] for row in kept])


def score_both_directions(
    text: Items, image: Items, *, benchmark: str, protocol: str, split: str, language: str, seen: bool
) -> list[Score]:
    """Score text-to-image and image-to-text retrieval.

    Metrics are recall@1/5/10, their mean, mean reciprocal rank, nDCG@10 and median rank. A caption searches all images;
    an image searches all captions, and any of its own captions is a hit. Images without a caption in this language stay
    in the gallery but are not queries. Similarity is the cosine; embeddings of another length are normalized first.
    Ties count against the model. The median rank is a share of the gallery (0 is best, chance is 0.5 with one
    positive), so that every value is in [0, 1].

    Args:
        text: Captions of one language.
        image: Images of the gallery.
        benchmark: Name of the benchmark, for the scores.
        protocol: Name of the protocol, for the scores.
        split: Name of the split, for the scores.
        language: Code of the language, for the scores.
        seen: Whether the language was trained, for the scores.

    Returns:
        Scores with 95 % intervals and chance levels, text to image first.

    Raises:
        WeightsError: An embedding is not finite or all zero.
        DataError: No caption belongs to any image.

    """
    where = f"{benchmark}, {language}"
    text, image = normalize_items(text, f"{where}: captions"), normalize_items(image, f"{where}: images")
    named, found = image.select(set(text.keys)), text.select(set(image.keys))
    if not found.keys:
        raise DataError(
            f"{where}: none of {len(text.keys)} captions belongs to any of {len(image.keys)} images; expected keys "
            "that both sides have."
        )
    facts = {"benchmark": benchmark, "protocol": protocol, "split": split, "language": language, "seen": seen}
    return score_direction(found, image, facts | {"direction": "text_to_image"}) + score_direction(
        named, found, facts | {"direction": "image_to_text"}
    )


def normalize_items(side: Items, where: str) -> Items:
    """Scale the embeddings to length one; those that have it already are returned unchanged.

    Args:
        side: Items with embeddings of any length.
        where: What the items are, for the error message.

    Returns:
        The same items with embeddings of length one.

    Raises:
        WeightsError: An embedding is not finite or all zero.

    """
    length = side.embeddings.float().norm(dim=1, keepdim=True)
    without = ~(length.isfinite() & (length > 0))
    if without.any():
        first = side.keys[int(without.nonzero()[0, 0])]
        raise WeightsError(
            f"{where}: {int(without.sum())} of {len(side.keys)} embeddings are not finite or all zero, the first is "
            "that "
            f"of {first!r}; "
            "the model is damaged or its training diverged. Align again with a lower --learning-rate, or copy the run "
            "folder again."
        )
    return side if ((length - 1).abs() < 1e-3).all() else replace(side, embeddings=side.embeddings.float() / length)


@lru_cache(maxsize=128)
def hash_keys(keys: tuple[str, ...]) -> str:
    """Hash of the queries' keys; languages that name the same images have the same."""
    return hash_parts(*keys)


def score_direction(query: Items, gallery: Items, facts: dict[str, Any]) -> list[Score]:
    """Score one direction: every query against the gallery."""
    number = {key: n for n, key in enumerate(dict.fromkeys(gallery.keys))}
    keys, item_keys = (torch.tensor([number[key] for key in side.keys]) for side in (query, gallery))
    found = rank_positives(query.embeddings, gallery.embeddings, keys, item_keys)
    positives = item_keys.bincount()[keys]
    chance, size = Chance(positives, len(gallery.keys)), len(gallery.keys)
    rank, gain = found[:, 0].int().numpy(), ndcg(found, positives).numpy()
    outcome = QueryOutcomes(
        **facts, gallery=size, queries=hash_keys(tuple(query.keys)), cluster=tuple(query.clusters), rank=rank, gain=gain
    )
    columns, share = compute_query_metrics(rank, gain), (rank + 1) / size
    bootstrap = Bootstrap(query.clusters)
    low, high = bootstrap.mean(columns)
    rows = [*zip(PER_QUERY, columns.mean(0), low, high, chance.per_query(), strict=True)]
    median = np.sort(share)[(len(share) - 1) // 2]
    rows.append(("median_rank", median, *bootstrap.median(share), chance.median()))
    common = facts | {"queries": len(query.keys), "gallery": size}
    p = {
        name: compute_chance_p(column, query.clusters, level)
        for name, column, level in zip(PER_QUERY, columns.T, chance.per_query(), strict=True)
        if name in RECALLS
    }
    return [
        PerQueryScore(
            outcome,
            metric=m,
            value=float(v),
            low=float(a),
            high=float(b),
            chance=float(c),
            p_chance=p.get(m),
            **common,
        )
        for m, v, a, b, c in rows
    ]
