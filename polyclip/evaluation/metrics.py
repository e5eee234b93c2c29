"""Retrieval metrics: pure functions of unit vectors and of who belongs to whom."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

CELLS = 1 << 24  # similarities held at once, 64 MB: bounds memory, changes no figure
DEPTH = 10  # how far down nDCG looks
KS = (1, 5, 10)
PER_QUERY = (*(f"recall@{k}" for k in KS), "mean_recall", "mrr", f"ndcg@{DEPTH}")  # metrics that are means over queries


def ranks(
    query: Float[Tensor, "query dim"],
    gallery: Float[Tensor, "item dim"],
    query_key: Int[Tensor, " query"],
    item_key: Int[Tensor, " item"],
) -> Int[Tensor, " query"]:
    """Rank (0 is best) of the nearest item that carries the query's key, by similarity in float32.

    Ties count against the model: an item of another key that is exactly as similar stands before. A constant model therefore
    ranks last, never first. Raises ValueError for a value that is not finite or a query without any item.
    """
    return places(query, gallery, query_key, item_key, 1)[:, 0]


def places(
    query: Float[Tensor, "query dim"],
    gallery: Float[Tensor, "item dim"],
    query_key: Int[Tensor, " query"],
    item_key: Int[Tensor, " item"],
    depth: int = DEPTH,
) -> Int[Tensor, "query place"]:
    """Places (0 is best) of the query's own items in the list of all items, nearest first; of at most `depth` own items.

    The size of the gallery stands where a query has fewer. Ties and errors as in `ranks`. The matrix of similarities is never
    held whole, and items with exactly the same vector have exactly the same similarity, whatever the hardware's arithmetic.
    """
    for name, vectors in (("query", query), ("gallery", gallery)):
        if not vectors.sum().isfinite():  # one value that is not makes the sum so
            raise ValueError(
                f"ranks needs finite {name} vectors, found {int((~vectors.isfinite()).sum())} other values."
            )
    without = ~torch.isin(query_key, item_key)
    if without.any():
        raise ValueError(
            f"{int(without.sum())} of {len(query_key)} queries have no item in the gallery, the first is number {int(without.nonzero()[0])}."
        )
    owned = Owned.of(item_key)
    width = min(depth, int(owned.count.max()))
    distinct, place = torch.unique(gallery.float(), dim=0, return_inverse=True)
    if len(distinct) == len(gallery):
        distinct, place = gallery.float(), None
    step = max(1, CELLS // len(gallery))
    blocks = [
        (query[start : start + step].float(), query_key[start : start + step]) for start in range(0, len(query), step)
    ]
    return torch.cat([_block(q @ distinct.T, place, *owned.items(key), width) for q, key in blocks])


@dataclass(frozen=True)
class Owned:
    """The items of every key, one key's after the other's."""

    key: Int[Tensor, " key"]
    count: Int[Tensor, " key"]
    item: Int[Tensor, " item"]

    @staticmethod
    def of(item_key: Int[Tensor, " item"]) -> "Owned":
        """From the key of each item."""
        key, count = torch.unique(item_key, return_counts=True)
        return Owned(key, count, torch.argsort(item_key, stable=True))

    def items(self, key: Int[Tensor, " query"]) -> tuple[Int[Tensor, "query own"], Bool[Tensor, "query own"]]:
        """Items of each query, and which of these columns it has."""
        row = torch.searchsorted(self.key, key)
        column = torch.arange(int(self.count[row].max()))
        there = column < self.count[row, None]
        first = self.count.cumsum(0) - self.count
        return self.item[(first[row, None] + column).where(there, 0)], there


def _block(similarity: Tensor, place: Tensor | None, own: Tensor, there: Tensor, width: int) -> Tensor:
    """Places of one block of queries: what is at least as similar and not own, and then the own ones that are nearer."""
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
    """1 where a query's own item is among the k nearest, else 0: its mean is recall@k."""
    return (rank < k).float()


def ndcg(
    found: Int[Tensor, "query place"], positives: Int[Tensor, " query"], k: int = DEPTH
) -> Float[Tensor, " query"]:
    """Normalised discounted cumulative gain at `k` with relevance 0 or 1, in [0, 1]; `found` are `places`, at least `k` deep.

    An own item at place p, from 0, is worth 1 / log2(p + 2); the sum is divided by that of the best order
    (Järvelin and Kekäläinen 2002, doi 10.1145/582415.582418, in the form of trec_eval).
    """
    own = (
        torch.arange(found.shape[1]) < positives[:, None]
    )  # what stands in further places is the size of the gallery, which may be below k
    worth = torch.where(own & (found < k), 1 / (found + 2).double().log2(), 0.0)
    best = (1 / torch.arange(2, k + 2, dtype=torch.float64).log2()).cumsum(0)
    return (
        worth.cumsum(1)[:, -1] / best[positives.clamp(max=k) - 1]
    ).float()  # added in the same order: the best is exactly 1


def per_query(rank: Int[np.ndarray, " query"], gain: Float[np.ndarray, " query"]) -> Float[np.ndarray, "query metric"]:
    """The columns PER_QUERY of queries whose first own items have these ranks (0 is best) and whose nDCG is `gain`."""
    hits = np.stack([rank < k for k in KS], axis=1).astype(np.float64)
    return np.column_stack([hits, hits.mean(1), 1 / (rank + 1.0), gain])


@dataclass(frozen=True)
class Chance:
    """What a model that ranks at random scores on average over queries with so many own items each, in a gallery of `size`."""

    positives: Int[Tensor, " query"]
    size: int

    @cached_property
    def _first(self) -> np.ndarray:
        """Probability that the first own item has each place."""
        total = np.zeros(self.size)
        for own, count in zip(*(found.tolist() for found in self.positives.unique(return_counts=True)), strict=True):
            place = np.arange(self.size)
            later = np.concatenate([[1.0], np.cumprod(np.clip((self.size - own - place) / (self.size - place), 0, 1))])
            total += count / len(self.positives) * -np.diff(later)
        return total

    def recall(self, k: int) -> float:
        """Recall@k."""
        return float(self._first[:k].sum())

    def reciprocal(self) -> float:
        """Mean reciprocal rank."""
        return float((self._first / np.arange(1, self.size + 1)).sum())

    def ndcg(self, k: int = DEPTH) -> float:
        """nDCG@k: every place holds an own item with the same probability."""
        worth = (1 / torch.arange(2, k + 2, dtype=torch.float64).log2()).cumsum(0)
        share = self.positives.double() / self.size
        return float((share * worth[min(k, self.size) - 1] / worth[self.positives.clamp(max=k) - 1]).mean())

    def per_query(self) -> list[float]:
        """Of the metrics PER_QUERY, in their order."""
        found = [self.recall(k) for k in KS]
        return [*found, sum(found) / len(found), self.reciprocal(), self.ndcg()]

    def median(self) -> float:
        """Median rank, counted from 1, as a share of the gallery."""
        return float((self._first.cumsum() > 0.5 - 1e-9).argmax() + 1) / self.size


def chance_recall(positives: float, gallery: int, k: int) -> float:
    """Recall@k of a model that ranks at random, where a query has `positives` items among `gallery`."""
    miss = 1.0
    for drawn in range(min(k, gallery)):
        miss *= max(0.0, gallery - positives - drawn) / (gallery - drawn)
    return 1.0 - miss


class Bootstrap:
    """95 % percentile intervals by redrawing whole clusters: all captions of one picture, or all variants of one concept, together."""

    def __init__(self, cluster: Sequence[object], draws: int = 1000, seed: int = 0) -> None:
        names = {name: number for number, name in enumerate(dict.fromkeys(cluster))}
        self.index = np.array([names[name] for name in cluster])
        self.weights = _draw(len(names), draws, seed)  # [draw, cluster]

    def mean(self, value: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Interval of the mean of each column of `value` [query, metric]."""
        count = self.weights.shape[1]
        sums = np.stack([np.bincount(self.index, column, count) for column in value.T], axis=1)
        sizes = np.bincount(self.index, minlength=count)
        drawn = (
            torch.from_numpy(self.weights) @ torch.from_numpy(np.column_stack([sums, sizes]))
        ).numpy()  # torch: one pool of threads
        return _bounds(drawn[:, :-1] / drawn[:, -1:])

    def median(self, value: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Interval of the median of `value` [query]."""
        order = np.argsort(value, kind="stable")
        step = max(1, CELLS // 4 // len(order))
        return _bounds(
            value[order][
                np.concatenate(
                    [_middle(self.weights[s : s + step, self.index[order]]) for s in range(0, len(self.weights), step)]
                )
            ]
        )


def _middle(weight: np.ndarray) -> np.ndarray:
    """Of each row of weights, the first column that has half of them at or before it."""
    total = np.cumsum(weight, axis=1)
    return (total * 2 >= total[:, -1:]).argmax(1)


@cache
def _draw(clusters: int, draws: int, seed: int) -> np.ndarray:
    """How often each cluster is drawn: the same for every metric and model of that many clusters."""
    return (
        np.random.default_rng(seed)
        .multinomial(clusters, np.full(clusters, 1 / clusters), size=draws)
        .astype(np.float64)
    )


def _bounds(drawn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    low, high = np.percentile(drawn, [2.5, 97.5], axis=0)
    return np.asarray(low), np.asarray(high)
