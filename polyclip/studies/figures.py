"""Estimates from records: recall with confidence intervals over concepts and seeds, and ratios to a reference."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from polyclip.evaluation.metrics import Bootstrap

Record = dict[str, Any]


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % confidence interval."""

    value: float
    low: float
    high: float

    def format_percent(self, digits: int = 1) -> str:
        """Format as percent, such as `31.2 [27, 35]`."""
        return f"{100 * self.value:.{digits}f} [{100 * self.low:.0f}, {100 * self.high:.0f}]"

    def format_ratio(self) -> str:
        """Format as a ratio, such as `0.97 [0.92, 1.03]`."""
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"


def compute_hits(record: Record, languages: Sequence[str], k: int = 10) -> np.ndarray:
    """Compute for each concept the mean hit rate at k over the languages that name it; NaN where none does.

    Args:
        record: A scored cell.
        languages: Language codes.
        k: Cut-off, >= 1.

    Returns:
        Array [concept] with values in [0, 1] or NaN.

    """
    rank = np.array([record["ranks"][code] for code in languages], dtype=np.float64)
    known = rank >= 0
    count = known.sum(0)
    return np.where(count > 0, ((rank < k) & known).sum(0) / np.maximum(count, 1), np.nan)


def compute_mean_hits(records: Sequence[Record], languages: Sequence[str], k: int = 10) -> np.ndarray:
    """Compute the hit rate of each concept, averaged over seeds."""
    return np.mean([compute_hits(record, languages, k) for record in records], axis=0)


def compute_recall(records: Sequence[Record], languages: Sequence[str], k: int = 10) -> Estimate:
    """Compute recall@k over languages and seeds, with an interval from resampled concept groups.

    Args:
        records: Records of one cell, one per seed.
        languages: Language codes.
        k: Cut-off, >= 1.

    Returns:
        Recall in [0, 1] with its interval.

    """
    value = compute_mean_hits(records, languages, k)
    known = ~np.isnan(value)
    bootstrap = Bootstrap([group for group, is_ in zip(records[0]["groups"], known, strict=True) if is_])
    low, high = bootstrap.mean(value[known][:, None])
    return Estimate(float(value[known].mean()), float(low[0]), float(high[0]))


def compute_recall_over_seeds(records: Sequence[Record], languages: Sequence[str], k: int = 10) -> Estimate:
    """Compute recall@k with an interval from resampled concept groups and resampled seeds."""
    each = draw_recalls(records, languages, k)
    low, high = np.percentile((each * draw_seeds(*each.shape)).sum(1), [2.5, 97.5])
    return Estimate(float(np.nanmean(compute_mean_hits(records, languages, k))), float(low), float(high))


def compute_share_over_seeds(
    records: Sequence[Record], reference: Sequence[Record], languages: Sequence[str], k: int = 10
) -> Estimate | None:
    """Compute the ratio of recall@k to a reference's over the seeds that both were trained with.

    Concept groups and seeds are resampled, those of both together.

    Args:
        records: Records of one cell, one per seed.
        reference: Records of the reference.
        languages: Language codes.
        k: Cut-off, >= 1.

    Returns:
        The ratio with its interval; None where they have no seed in common.

    """
    others = {record["cell"]["seed"]: record for record in reference}
    own = [record for record in records if record["cell"]["seed"] in others]
    if not own:
        return None
    other = [others[record["cell"]["seed"]] for record in own]
    above, below = draw_recalls(own, languages, k), draw_recalls(other, languages, k)
    often = draw_seeds(*above.shape)
    low, high = np.percentile((above * often).sum(1) / np.maximum((below * often).sum(1), 1e-9), [2.5, 97.5])
    whole, base = (float(np.nanmean(compute_mean_hits(found, languages, k))) for found in (own, other))
    return Estimate(whole / max(base, 1e-9), float(low), float(high))


def draw_recalls(records: Sequence[Record], languages: Sequence[str], k: int) -> np.ndarray:
    """Draw recall@k of each seed, with resampled concept groups: [draw, seed]."""
    known = ~np.isnan(compute_mean_hits(records, languages, k))
    bootstrap = Bootstrap([group for group, is_ in zip(records[0]["groups"], known, strict=True) if is_])
    columns = [compute_hits(record, languages, k)[known] for record in records]
    sums = np.stack([np.bincount(bootstrap.index, column, bootstrap.weights.shape[1]) for column in columns], axis=1)
    sizes = np.bincount(bootstrap.index, minlength=bootstrap.weights.shape[1])
    return (bootstrap.weights @ sums) / (bootstrap.weights @ sizes)[:, None]


def draw_seeds(draws: int, seeds: int) -> np.ndarray:
    """Draw which seeds count how much, as often as there are seeds: [draw, seed], each draw sums to 1."""
    return np.random.default_rng(0).multinomial(seeds, np.full(seeds, 1 / seeds), size=draws) / seeds


def compute_share(
    records: Sequence[Record], reference: Sequence[Record], languages: Sequence[str], k: int = 10
) -> Estimate:
    """Compute the ratio of recall@k to a reference's; both are resampled together by concept group."""
    own, other = compute_mean_hits(records, languages, k), compute_mean_hits(reference, languages, k)
    known = ~np.isnan(own)
    groups = [group for group, is_ in zip(records[0]["groups"], known, strict=True) if is_]
    bootstrap = Bootstrap(groups)
    sums = np.stack(
        [np.bincount(bootstrap.index, column, bootstrap.weights.shape[1]) for column in (own[known], other[known])],
        axis=1,
    )
    drawn = bootstrap.weights @ sums
    low, high = np.percentile(drawn[:, 0] / np.maximum(drawn[:, 1], 1e-9), [2.5, 97.5])
    return Estimate(float(own[known].mean() / other[known].mean()), float(low), float(high))


def format_share(records: Sequence[Record], reference: Sequence[Record] | None, languages: Sequence[str]) -> str:
    """Format recall relative to the reference; a dash without one."""
    return "-" if reference is None else compute_share(records, reference, languages).format_ratio()


def format_share_over_seeds(
    records: Sequence[Record], reference: Sequence[Record] | None, languages: Sequence[str]
) -> str:
    """Format recall relative to the reference over seeds; a dash without one, or without a seed in common."""
    share = compute_share_over_seeds(records, reference or [], languages)
    return "-" if share is None else share.format_ratio()


def compute_spread(records: Sequence[Record], languages: Sequence[str], k: int = 10) -> float:
    """Compute the standard deviation of recall@k over seeds; 0 for one seed."""
    values = [float(np.nanmean(compute_hits(record, languages, k))) for record in records]
    return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


def list_trained_languages(record: Record) -> list[str]:
    """List the languages that the cell was trained on."""
    return list(record["cell"]["languages"])


def list_unseen_languages(record: Record) -> list[str]:
    """List the languages that were scored but not trained."""
    return [code for code in record["ranks"] if code not in record["cell"]["languages"]]
