"""Cluster bootstrap intervals and sign-flip tests over several languages that share the same images."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from polyclip.evaluation.metrics import Bootstrap

FLIPS = 10_000
STEP = 500  # flips at once


def number_clusters(clusters: Iterable[Sequence[str]]) -> list[np.ndarray]:
    """Replace the cluster names of each language by numbers; a name has the same number in every language.

    Args:
        clusters: For each language, the cluster name of each query.

    Returns:
        For each language, an integer array with one number per query.

    """
    number: dict[str, int] = {}
    return [np.array([number.setdefault(name, len(number)) for name in names]) for names in clusters]


@dataclass(frozen=True)
class ClusterSums:
    """Sums of a per-query value and numbers of queries by cluster and language.

    A cluster that occurs in several languages is one row, so that resampling moves it in all of them together.

    Attributes:
        sums: Sum of the value over the queries of each cluster, [cluster, language].
        sizes: Number of queries of each cluster, [cluster, language]; 0 where a language lacks the cluster.

    """

    sums: Float[np.ndarray, "cluster language"]
    sizes: Float[np.ndarray, "cluster language"]

    @staticmethod
    def from_values(values: Sequence[np.ndarray], clusters: Sequence[np.ndarray]) -> "ClusterSums":
        """Sum up the values of each language by cluster.

        Args:
            values: For each language, one value per query.
            clusters: For each language, the cluster number of each query, as `number_clusters` returns them.

        Returns:
            The sums and sizes of all clusters that have a query in any language.

        """
        count = max(int(own.max()) for own in clusters) + 1
        sums = [np.bincount(own, value, count) for own, value in zip(clusters, values, strict=True)]
        sizes = [np.bincount(own, minlength=count) for own in clusters]
        there = np.sum(sizes, axis=0) > 0
        return ClusterSums(np.stack(sums, 1)[there], np.stack(sizes, 1)[there].astype(np.float64))

    def interval(self) -> Float[np.ndarray, "bound language_and_mean"]:
        """95 % percentile bootstrap of each language's mean and, last, of their unweighted mean.

        A resample without any cluster of a language does not count for that language.

        Returns:
            Lower bounds (row 0) and upper bounds (row 1), one column per language and one for the mean.

        """
        drawn = self.draw_means()
        drawn = np.column_stack([drawn, np.nanmean(drawn, axis=1)])
        return np.nanpercentile(drawn, [2.5, 97.5], axis=0)

    def interval_of_means(self, count: int) -> Float[np.ndarray, "bound value"]:
        """The last column of `interval` alone, of several values at once.

        Args:
            count: Values, of which the first has the first columns, one a language, the next the next ones, and so on.

        Returns:
            Lower bounds (row 0) and upper bounds (row 1), one column a value.

        """
        drawn = self.draw_means().reshape(-1, count, self.sums.shape[1] // count)
        return np.nanpercentile(np.nanmean(drawn, axis=2), [2.5, 97.5], axis=0)

    def draw_means(self) -> Float[np.ndarray, "draw language"]:
        """Each language's mean in each resample; NaN where there is no query."""
        weights = torch.from_numpy(Bootstrap(range(len(self.sums))).weights)
        sums, sizes = (weights @ torch.from_numpy(table) for table in (self.sums, self.sizes))
        return (sums / sizes).numpy()

    def p_values(self, flips: int = FLIPS, seed: int = 0) -> Float[np.ndarray, " language_and_mean"]:
        """Two-sided sign-flip test (Fisher 1935) that each language's mean, and last their unweighted mean, is zero.

        The values are per-query differences of two models. If the models were equal, each cluster's difference could as
        well have the other sign, in all languages together.

        Args:
            flips: Number of random sign assignments, >= 1.
            seed: Seed of the random generator.

        Returns:
            One p value per language and one for the mean, each at least 1 / (flips + 1).

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


def adjust_holm(p: Float[np.ndarray, " test"]) -> Float[np.ndarray, " test"]:
    """Correct p values for multiple tests by Holm's step-down method (Holm 1979, jstor 4615733).

    Args:
        p: Uncorrected p values, one per test.

    Returns:
        Adjusted p values in [0, 1]: rejecting those below 5 % keeps the family-wise error rate at or below 5 %.

    """
    order = np.argsort(p, kind="stable")
    adjusted = np.empty(len(p))
    adjusted[order] = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)).clip(max=1.0)
    return adjusted
