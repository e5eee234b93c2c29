"""Retrieval metrics: pure functions of unit vectors and of who belongs to whom."""

from collections.abc import Iterator, Sequence
from functools import cache

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

BLOCK = 4096  # queries compared at once: bounds memory, changes no figure


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
    for name, vectors in (("query", query), ("gallery", gallery)):
        if not vectors.sum().isfinite():  # one value that is not makes the sum so
            raise ValueError(f"ranks needs finite {name} vectors, found {int((~vectors.isfinite()).sum())} other values.")
    without = ~torch.isin(query_key, item_key)
    if without.any():
        raise ValueError(f"{int(without.sum())} of {len(query_key)} queries have no item in the gallery, the first is number {int(without.nonzero()[0])}.")
    return torch.cat([_block(q, gallery.float(), key, item_key) for q, key in _blocks(query.float(), query_key)])


def _blocks(query: Tensor, key: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    for start in range(0, len(query), BLOCK):
        yield query[start : start + BLOCK], key[start : start + BLOCK]


def _block(query: Tensor, gallery: Tensor, key: Tensor, item_key: Tensor) -> Tensor:
    similarity = query @ gallery.T
    own: Bool[Tensor, "query item"] = key[:, None] == item_key[None, :]
    best = similarity.masked_fill(~own, -torch.inf).amax(1, keepdim=True)
    return ((similarity >= best) & ~own).sum(1)


def recall(rank: Int[Tensor, " query"], k: int) -> Float[Tensor, " query"]:
    """1 where a query's own item is among the k nearest, else 0: its mean is recall@k."""
    return (rank < k).float()


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
        drawn = (torch.from_numpy(self.weights) @ torch.from_numpy(np.column_stack([sums, sizes]))).numpy()  # torch: one pool of threads
        return _bounds(drawn[:, :-1] / drawn[:, -1:])

    def median(self, value: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Interval of the median of `value` [query]."""
        order = np.argsort(value, kind="stable")
        total = np.cumsum(self.weights[:, self.index[order]], axis=1)
        middle = (total * 2 >= total[:, -1:]).argmax(1)
        return _bounds(value[order][middle])


@cache
def _draw(clusters: int, draws: int, seed: int) -> np.ndarray:
    """How often each cluster is drawn: the same for every metric and model of that many clusters."""
    return np.random.default_rng(seed).multinomial(clusters, np.full(clusters, 1 / clusters), size=draws).astype(np.float64)


def _bounds(drawn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    low, high = np.percentile(drawn, [2.5, 97.5], axis=0)
    return np.asarray(low), np.asarray(high)
