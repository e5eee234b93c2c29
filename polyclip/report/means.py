"""Unweighted means over languages, each with the list of its languages."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from polyclip.evaluation.bootstrap import ClusterSums, number_clusters
from polyclip.evaluation.metrics import PER_QUERY, compute_query_metrics
from polyclip.evaluation.results import PerQueryScore, Score

GROUPS = {"all": (True, False), "trained": (True,), "never trained": (False,)}


def compute_means(scores: Iterable[Score]) -> list[dict[str, Any]]:
    """Compute means for every protocol, direction, metric and group of languages.

    Args:
        scores: Scores of all languages.

    Returns:
        For each mean its value, 95 % interval, chance level and languages. The interval resamples clusters in all
        languages
        together; it is null for scores without per-query outcomes.

    """
    series: dict[tuple[str, ...], dict[str, list[Score]]] = {}
    for score in scores:
        by_metric = series.setdefault((score.benchmark, score.protocol, score.split, score.direction), {})
        by_metric.setdefault(score.metric, []).append(score)
    found = []
    for (benchmark, protocol, split, direction), by_metric in series.items():
        facts = {"benchmark": benchmark, "protocol": protocol, "split": split, "direction": direction}
        clusters = number_score_clusters(next(iter(by_metric.values())))
        for group, seen in GROUPS.items():
            members = {metric: [score for score in own if score.seen in seen] for metric, own in by_metric.items()}
            found += [
                facts | {"group": group} | summarize_metric(metric, own, clusters)
                for metric, own in members.items()
                if own
            ]
    return found


def number_score_clusters(scores: Sequence[Score]) -> dict[str, np.ndarray]:
    """Number the clusters of every language's queries, for scores with per-query outcomes."""
    known = {score.language: score.outcome.cluster for score in scores if isinstance(score, PerQueryScore)}
    return dict(zip(known, number_clusters(known.values()), strict=True))


def summarize_metric(metric: str, scores: Sequence[Score], clusters: dict[str, np.ndarray]) -> dict[str, Any]:
    """Compute the mean of one metric in one group."""
    low, high = compute_interval(metric, scores, clusters)
    value = sum(score.value for score in scores) / len(scores)
    chance = sum(score.chance for score in scores) / len(scores)
    return {
        "metric": metric,
        "value": value,
        "low": low,
        "high": high,
        "chance": chance,
        "languages": [score.language for score in scores],
    }


def compute_interval(
    metric: str, scores: Sequence[Score], clusters: dict[str, np.ndarray]
) -> tuple[float, float] | tuple[None, None]:
    """Compute the interval of the mean over languages; none where scores are pooled over folds."""
    outcomes = [score.outcome for score in scores if isinstance(score, PerQueryScore)]
    if metric not in PER_QUERY or len(outcomes) != len(scores) or any(outcome.folds > 1 for outcome in outcomes):
        return None, None
    column = PER_QUERY.index(metric)
    values = [compute_query_metrics(outcome.rank, outcome.gain)[:, column] for outcome in outcomes]
    sums = ClusterSums.from_values(values, [clusters[outcome.language] for outcome in outcomes])
    low, high = sums.interval_of_mean()
    return float(low), float(high)
