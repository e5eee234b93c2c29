"""Several languages at once, whole clusters at a time: intervals and tests that know that the same picture is asked in every language."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from polyclip.evaluation.metrics import Bootstrap

FLIPS = 10_000
STEP = 500  # flips at once


def numbered(clusters: Iterable[Sequence[str]]) -> list[np.ndarray]:
    """Each language's clusters as numbers, the same number for the same name in every language."""
    number: dict[str, int] = {}
    return [np.array([number.setdefault(name, len(number)) for name in names]) for names in clusters]


@dataclass(frozen=True)
class Tallies:
    """Sums of a value and numbers of queries by cluster and language; a cluster is one in every language that has it."""

    sums: Float[np.ndarray, "cluster language"]
    sizes: Float[np.ndarray, "cluster language"]

    @staticmethod
    def of(values: Sequence[np.ndarray], clusters: Sequence[np.ndarray]) -> "Tallies":
        """From each language's values [query] and the numbers of their clusters, as `numbered` gives them."""
        count = max(int(own.max()) for own in clusters) + 1
        sums = [np.bincount(own, value, count) for own, value in zip(clusters, values, strict=True)]
        sizes = [np.bincount(own, minlength=count) for own in clusters]
        there = np.sum(sizes, axis=0) > 0
        return Tallies(np.stack(sums, 1)[there], np.stack(sizes, 1)[there].astype(np.float64))

    def interval(self) -> Float[np.ndarray, "bound language_and_mean"]:
        """Low and high: 95 % percentile bootstrap of each language's mean and, last, of their unweighted mean.

        A draw that has none of a language's clusters says nothing of it.
        """
        weights = torch.from_numpy(Bootstrap(range(len(self.sums))).weights)
        sums, sizes = (weights @ torch.from_numpy(table) for table in (self.sums, self.sizes))
        drawn = (sums / sizes).numpy()  # NaN where there is no query
        drawn = np.column_stack([drawn, np.nanmean(drawn, axis=1)])
        return np.nanpercentile(drawn, [2.5, 97.5], axis=0)

    def p_values(self, flips: int = FLIPS, seed: int = 0) -> Float[np.ndarray, " language_and_mean"]:
        """Two-sided p of each language's mean, and last of their unweighted mean, being zero: the values are differences of two models.

        Sign-flip test (Fisher 1935): were the models equal, each cluster's difference could as well have the other sign, in all
        languages together. Smallest possible value 1 / (flips + 1).
        """
        share = np.column_stack([self.sums / self.sizes.sum(0), (self.sums / self.sizes.sum(0)).mean(1)])
        reached = np.abs(share.sum(0)) - 1e-12
        generator = np.random.default_rng(seed)
        count = np.zeros(share.shape[1])
        for start in range(0, flips, STEP):
            signs = (
                generator.integers(0, 2, (min(STEP, flips - start), len(share)), dtype=np.int8).astype(np.float64) * 2
                - 1
            )
            count += (np.abs((torch.from_numpy(signs) @ torch.from_numpy(share)).numpy()) >= reached).sum(0)
        return (count + 1) / (flips + 1)


def holm(p: Float[np.ndarray, " test"]) -> Float[np.ndarray, " test"]:
    """p values such that rejecting those below 5 % rejects anything wrongly at most in 5 % of all cases (Holm 1979, jstor 4615733)."""
    order = np.argsort(p, kind="stable")
    adjusted = np.empty(len(p))
    adjusted[order] = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)).clip(max=1.0)
    return adjusted
