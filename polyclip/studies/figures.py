"""From records to figures: recall with intervals over concepts and seeds, and shares of a reference."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from polyclip.evaluation.metrics import Bootstrap

Record = dict[str, Any]


@dataclass(frozen=True)
class Figure:
    """A value with its 95 % interval."""

    value: float
    low: float
    high: float

    def percent(self, digits: int = 1) -> str:
        """`31.2 [27, 35]`."""
        return f"{100 * self.value:.{digits}f} [{100 * self.low:.0f}, {100 * self.high:.0f}]"

    def ratio(self) -> str:
        """`0.97 [0.92, 1.03]`."""
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"


def hits(record: Record, languages: Sequence[str], k: int = 10) -> np.ndarray:
    """For each concept the mean of its hits among the k nearest over the languages that name it; NaN where none does."""
    rank = np.array([record["ranks"][code] for code in languages], dtype=np.float64)
    known = rank >= 0
    count = known.sum(0)
    return np.where(count > 0, ((rank < k) & known).sum(0) / np.maximum(count, 1), np.nan)


def mean_hits(records: Sequence[Record], languages: Sequence[str], k: int = 10) -> np.ndarray:
    """The same, averaged over seeds."""
    return np.mean([hits(record, languages, k) for record in records], axis=0)


def recall_of(records: Sequence[Record], languages: Sequence[str], k: int = 10) -> Figure:
    """Recall@k over languages and seeds, with the interval of redrawn concept groups."""
    value = mean_hits(records, languages, k)
    known = ~np.isnan(value)
    bootstrap = Bootstrap([group for group, is_ in zip(records[0]["groups"], known, strict=True) if is_])
    low, high = bootstrap.mean(value[known][:, None])
    return Figure(float(value[known].mean()), float(low[0]), float(high[0]))


def recall_over_seeds(records: Sequence[Record], languages: Sequence[str], k: int = 10) -> Figure:
    """The same value, with the interval of redrawn concept groups and redrawn seeds."""
    known = ~np.isnan(mean_hits(records, languages, k))
    bootstrap = Bootstrap([group for group, is_ in zip(records[0]["groups"], known, strict=True) if is_])
    columns = [hits(record, languages, k)[known] for record in records]
    sums = np.stack([np.bincount(bootstrap.index, column, bootstrap.weights.shape[1]) for column in columns], axis=1)
    sizes = np.bincount(bootstrap.index, minlength=bootstrap.weights.shape[1])
    each = (bootstrap.weights @ sums) / (bootstrap.weights @ sizes)[:, None]  # [draw, seed]
    often = np.random.default_rng(0).multinomial(
        len(records), np.full(len(records), 1 / len(records)), size=len(each)
    ) / len(records)
    low, high = np.percentile((each * often).sum(1), [2.5, 97.5])
    return Figure(float(np.mean(columns)), float(low), float(high))


def share_of(records: Sequence[Record], reference: Sequence[Record], languages: Sequence[str], k: int = 10) -> Figure:
    """Recall@k as a share of the reference's; both are redrawn together, concept group by concept group."""
    own, other = mean_hits(records, languages, k), mean_hits(reference, languages, k)
    known = ~np.isnan(own)
    groups = [group for group, is_ in zip(records[0]["groups"], known, strict=True) if is_]
    bootstrap = Bootstrap(groups)
    sums = np.stack(
        [np.bincount(bootstrap.index, column, bootstrap.weights.shape[1]) for column in (own[known], other[known])],
        axis=1,
    )
    drawn = bootstrap.weights @ sums
    low, high = np.percentile(drawn[:, 0] / np.maximum(drawn[:, 1], 1e-9), [2.5, 97.5])
    return Figure(float(own[known].mean() / other[known].mean()), float(low), float(high))


def spread(records: Sequence[Record], languages: Sequence[str], k: int = 10) -> float:
    """Standard deviation of recall@k over seeds; 0 for one seed."""
    values = [float(np.nanmean(hits(record, languages, k))) for record in records]
    return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


def trained_languages(record: Record) -> list[str]:
    """Languages of the cell's training."""
    return list(record["cell"]["languages"])


def other_languages(record: Record) -> list[str]:
    """Languages that were scored and never trained."""
    return [code for code in record["ranks"] if code not in record["cell"]["languages"]]
