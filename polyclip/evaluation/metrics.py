"""Retrieval metrics: pure functions of embeddings and of the keys that say which items belong together."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

CELLS = 1 << 24  # similarities held at once, 64 MB: bounds memory, changes no figure
DEPTH = 10  # how far down nDCG looks
KS = (1, 5, 10)
PER_QUERY = (*(f"recall@{k}" for k in KS), "mean_recall", "mrr", f"ndcg@{DEPTH}")  # metrics that are means over queries


def compute_ranks(
    query: Float[Tensor, "query dim"],
    gallery: Float[Tensor, "item dim"],
    query_key: Int[Tensor, " query"],
    item_key: Int[Tensor, " item"],
) -> Int[Tensor, " query"]:
    """Rank of the nearest item that has the query's key, by dot product in float32.

    Ties count against the model: an item of another key that is exactly as similar ranks before. A constant model
    therefore ranks last.

    Args:
        query: Embeddings of the queries.
        gallery: Embeddings of the items.
        query_key: Key of each query.
        item_key: Key of each item.

    Returns:
        Rank of each query's nearest own item, 0 is best.

    Raises:
        ValueError: A value is NaN or infinite, or a query has no item in the gallery.

    """
    return rank_positives(query, gallery, query_key, item_key, 1)[:, 0]


def rank_positives(
    query: Float[Tensor, "query dim"],
    gallery: Float[Tensor, "item dim"],
    query_key: Int[Tensor, " query"],
    item_key: Int[Tensor, " item"],
    depth: int = DEPTH,
) -> Int[Tensor, "query place"]:
    """Ranks of the nearest own items of each query in the list of all items.

    Ties as in `compute_ranks`. The similarity matrix is never held whole, and items with exactly the same embedding
    have exactly the same similarity on any hardware.

    Args:
        query: Embeddings of the queries.
        gallery: Embeddings of the items.
        query_key: Key of each query.
        item_key: Key of each item.
        depth: Largest number of own items to rank, >= 1.

    Returns:
        Ranks of up to `depth` own items, nearest first, 0 is best; the size of the gallery where a query has fewer.

    Raises:
        ValueError: A value is NaN or infinite, or a query has no item in the gallery.

    """
    for name, embeddings in (("query", query), ("gallery", gallery)):
        if not embeddings.sum().isfinite():  # one value that is not makes the sum so
            raise ValueError(
                f"compute_ranks requires finite {name} embeddings, found {int((~embeddings.isfinite()).sum())} other "
                "values."
            )
    without = ~torch.isin(query_key, item_key)
    if without.any():
        raise ValueError(
            f"{int(without.sum())} of {len(query_key)} queries have no item in the gallery, the first is number "
            f"{int(without.nonzero()[0])}."
        )
    owned = PositiveIndex.from_keys(item_key)
    width = min(depth, int(owned.count.max()))
    distinct, place = find_distinct(gallery.float())
    step = max(1, CELLS // len(gallery))
    blocks = [
        (query[start : start + step].float(), query_key[start : start + step]) for start in range(0, len(query), step)
    ]
    return torch.cat([_block(q @ distinct.T, place, *owned.items(key), width) for q, key in blocks])


def find_distinct(
    gallery: Float[Tensor, "item dim"],
) -> tuple[Float[Tensor, "distinct dim"], Int[Tensor, " item"] | None]:
    """Distinct rows, and which of them each row is; the rows as they are and None where none occurs twice."""
    if len(gallery[:, 0].unique()) == len(gallery):  # found in a tenth of the time that sorting whole rows takes
        return gallery, None
    distinct, place = torch.unique(gallery, dim=0, return_inverse=True)
    return (gallery, None) if len(distinct) == len(gallery) else (distinct, place)


@dataclass(frozen=True)
class PositiveIndex:
    """The items of every key, grouped by key."""

    key: Int[Tensor, " key"]
    count: Int[Tensor, " key"]
    item: Int[Tensor, " item"]

    @staticmethod
    def from_keys(item_key: Int[Tensor, " item"]) -> "PositiveIndex":
        """Build the index from the key of each item."""
        key, count = torch.unique(item_key, return_counts=True)
        return PositiveIndex(key, count, torch.argsort(item_key, stable=True))

    def items(self, key: Int[Tensor, " query"]) -> tuple[Int[Tensor, "query own"], Bool[Tensor, "query own"]]:
        """Return the items of each query, padded to the same number, and a mask of the valid columns."""
        row = torch.searchsorted(self.key, key)
        column = torch.arange(int(self.count[row].max()))
        there = column < self.count[row, None]
        first = self.count.cumsum(0) - self.count
        return self.item[(first[row, None] + column).where(there, 0)], there


def _block(similarity: Tensor, place: Tensor | None, own: Tensor, there: Tensor, width: int) -> Tensor:
    """Ranks of one block of queries: other items that are at least as similar, plus own items that are nearer."""
    if place is not None:
        similarity = similarity[:, place]
    mine = similarity.gather(1, own).masked_fill(~there, -torch.inf)
    best = mine.topk(min(width, mine.shape[1]), dim=1).values
    found = torch.full((len(similarity), width), similarity.shape[1])
    for column in range(best.shape[1]):
        value = best[:, column, None]
        before = (similarity >= value).sum(1, dtype=torch.int32) - (mine >= value).sum(1, dtype=torch.int32)
        found[:, column] = torch.where(value[:, 0].isfinite(), before + column, similarity.shape[1])
    return found


def recall(rank: Int[Tensor, " query"], k: int) -> Float[Tensor, " query"]:
    """Recall@k of each query: 1 where an own item is among the k nearest, else 0.

    Args:
        rank: Rank of each query's nearest own item, 0 is best.
        k: Cut-off, >= 1.

    Returns:
        0 or 1 for each query; the mean is recall@k.

    """
    return (rank < k).float()


def ndcg(
    found: Int[Tensor, "query place"], positives: Int[Tensor, " query"], k: int = DEPTH
) -> Float[Tensor, " query"]:
    """Normalized discounted cumulative gain at k of each query, with binary relevance.

    An own item at rank p, counted from 0, gains 1 / log2(p + 2); the sum is divided by that of the best order (Järvelin
    and Kekäläinen 2002, doi 10.1145/582415.582418, in the form of trec_eval).

    Args:
        found: Ranks of the own items as `rank_positives` returns them, at least `k` deep.
        positives: Number of own items of each query, >= 1.
        k: Cut-off, >= 1.

    Returns:
        A value in [0, 1] for each query.

    """
    own = (
        torch.arange(found.shape[1]) < positives[:, None]
    )  # columns beyond the number of own items hold the size of the gallery, which may be below k
    worth = torch.where(own & (found < k), 1 / (found + 2).double().log2(), 0.0)
    best = (1 / torch.arange(2, k + 2, dtype=torch.float64).log2()).cumsum(0)
    return (
        worth.cumsum(1)[:, -1] / best[positives.clamp(max=k) - 1]
    ).float()  # added in the same order: the best is exactly 1


def compute_query_metrics(
    rank: Int[np.ndarray, " query"], gain: Float[np.ndarray, " query"]
) -> Float[np.ndarray, "query metric"]:
    """Compute the metrics PER_QUERY of each query.

    Args:
        rank: Rank of each query's nearest own item, 0 is best.
        gain: nDCG@10 of each query, in [0, 1].

    Returns:
        One column for each name in PER_QUERY, values in [0, 1].

    """
    found = np.empty((len(rank), len(PER_QUERY)))
    found[:, : len(KS)] = rank[:, None] < np.array(KS)
    found[:, len(KS)] = found[:, : len(KS)].mean(1)
    found[:, -2], found[:, -1] = 1 / (rank + 1.0), gain
    return found


@dataclass(frozen=True)
class Chance:
    """Chance level: the expected scores of a random ranking.

    Attributes:
        positives: Number of own items of each query, >= 1.
        size: Number of items in the gallery.

    """

    positives: Int[Tensor, " query"]
    size: int

    @cached_property
    def _first(self) -> np.ndarray:
        """Probability that the first own item has each rank."""
        total = np.zeros(self.size)
        for own, count in zip(*(found.tolist() for found in self.positives.unique(return_counts=True)), strict=True):
            place = np.arange(self.size)
            later = np.concatenate([[1.0], np.cumprod(np.clip((self.size - own - place) / (self.size - place), 0, 1))])
            total += count / len(self.positives) * -np.diff(later)
        return total

    def recall(self, k: int) -> float:
        """Expected recall@k of a random ranking."""
        return float(self._first[:k].sum())

    def reciprocal(self) -> float:
        """Expected mean reciprocal rank of a random ranking."""
        return float((self._first / np.arange(1, self.size + 1)).sum())

    def ndcg(self, k: int = DEPTH) -> float:
        """Expected nDCG@k: every rank has an own item with the same probability."""
        worth = (1 / torch.arange(2, k + 2, dtype=torch.float64).log2()).cumsum(0)
        share = self.positives.double() / self.size
        return float((share * worth[min(k, self.size) - 1] / worth[self.positives.clamp(max=k) - 1]).mean())

    def per_query(self) -> list[float]:
        """Chance levels of the metrics PER_QUERY, in their order."""
        found = [self.recall(k) for k in KS]
        return [*found, sum(found) / len(found), self.reciprocal(), self.ndcg()]

    def median(self) -> float:
        """Median rank, counted from 1, as a share of the gallery."""
        return float((self._first.cumsum() > 0.5 - 1e-9).argmax() + 1) / self.size


def compute_chance_recall(positives: float, gallery: int, k: int) -> float:
    """Expected recall@k of a random ranking.

    Args:
        positives: Number of own items of a query, may be a mean.
        gallery: Number of items in the gallery.
        k: Cut-off, >= 1.

    Returns:
        A value in [0, 1].

    """
    miss = 1.0
    for drawn in range(min(k, gallery)):
        miss *= max(0.0, gallery - positives - drawn) / (gallery - drawn)
    return 1.0 - miss


class Bootstrap:
    """95 % percentile bootstrap that resamples whole clusters.

    A cluster is, for example, all captions of one image, or all variants of one concept.

    Args:
        cluster: Cluster of each query.
        draws: Number of resamples.
        seed: Seed of the random generator.

    """

    def __init__(self, cluster: Sequence[object], draws: int = 1000, seed: int = 0) -> None:
        names = {name: number for number, name in enumerate(dict.fromkeys(cluster))}
        self.index = np.array([names[name] for name in cluster])
        self.weights = _draw(len(names), draws, seed)  # [draw, cluster]

    def mean(self, value: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Interval of the mean of each metric.

        Args:
            value: Per-query values, [query, metric].

        Returns:
            Lower and upper bounds, one per metric.

        """
        count = self.weights.shape[1]
        sums = np.stack([np.bincount(self.index, column, count) for column in value.T], axis=1)
        sizes = np.bincount(self.index, minlength=count)
        drawn = (
            torch.from_numpy(self.weights) @ torch.from_numpy(np.column_stack([sums, sizes]))
        ).numpy()  # torch: one pool of threads
        return _bounds(drawn[:, :-1] / drawn[:, -1:])

    def median(self, value: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Interval of the median.

        Args:
            value: Per-query values, [query].

        Returns:
            Lower and upper bound.

        """
        order, counts = np.argsort(value, kind="stable"), self.weights.astype(self._choose_counter())
        step = max(1, CELLS // 4 // len(order))
        return _bounds(
            value[order][
                np.concatenate([_middle(counts[s : s + step, self.index[order]]) for s in range(0, len(counts), step)])
            ]
        )

    def _choose_counter(self) -> type[np.signedinteger[Any]]:
        """The shortest integer that holds the queries of any resample: shorter ones are added up faster."""
        most = self.weights.shape[1] * int(np.bincount(self.index).max())
        return np.int16 if most <= np.iinfo(np.int16).max else np.int32


def _middle(weight: np.ndarray) -> np.ndarray:
    """Return for each row of weights the first column that has half of the total weight at or before it."""
    total = np.cumsum(weight, axis=1, dtype=weight.dtype)
    return (total >= total[:, -1:] - total[:, -1:] // 2).argmax(1)


@cache
def _draw(clusters: int, draws: int, seed: int) -> np.ndarray:
    """Draw how often each cluster is resampled, the same for every metric and model with that many clusters."""
    return (
        np.random.default_rng(seed)
        .multinomial(clusters, np.full(clusters, 1 / clusters), size=draws)
        .astype(np.float64)
    )


def _bounds(drawn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    low, high = np.percentile(drawn, [2.5, 97.5], axis=0)
    return np.asarray(low), np.asarray(high)
