"""Unweighted means over languages, each with the list of its languages."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from polyclip.evaluation.bootstrap import ClusterSums, number_clusters
from polyclip.evaluation.metrics import PER_QUERY, compute_query_metrics
from polyclip.evaluation.results import PerQueryScore, Score

Bounds = tuple[float, float] | tuple[None, None]
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
            bounds: dict[tuple[str, ...], dict[str, tuple[float, float]]] = {}
            for metric, own in members.items():
                languages = tuple(score.language for score in own)
                if languages and languages not in bounds:
                    bounds[languages] = compute_intervals(own, clusters)
                if own:
                    interval = bounds[languages].get(metric, (None, None))
                    found.append(facts | {"group": group} | summarize_metric(metric, own, interval))
    return found


def number_score_clusters(scores: Sequence[Score]) -> dict[str, np.ndarray]:
    """Number the clusters of every language's queries, for scores with per-query outcomes."""
    known = {score.language: score.outcome.cluster for score in scores if isinstance(score, PerQueryScore)}
    return dict(zip(known, number_clusters(known.values()), strict=True))


def summarize_metric(metric: str, scores: Sequence[Score], interval: Bounds) -> dict[str, Any]:
    """Compute the mean of one metric in one group, beside its interval."""
    low, high = interval
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


def compute_intervals(scores: Sequence[Score], clusters: dict[str, np.ndarray]) -> dict[str, tuple[float, float]]:
    """Compute the interval of each metric's mean over languages.

    Args:
        scores: Of one metric, of each language of a group.
        clusters: Numbers of the clusters of each language's queries.

    Returns:
        Bounds by metric, of those that are means over queries; none where scores are pooled over folds or have no
        outcomes.

    """
    outcomes = [score.outcome for score in scores if isinstance(score, PerQueryScore)]
    if not outcomes or len(outcomes) != len(scores) or any(outcome.folds > 1 for outcome in outcomes):
        return {}
    columns = [compute_query_metrics(outcome.rank, outcome.gain) for outcome in outcomes]
    numbers = [clusters[outcome.language] for outcome in outcomes]
    values = [own[:, place] for place in range(len(PER_QUERY)) for own in columns]
    low, high = ClusterSums.from_values(values, numbers * len(PER_QUERY)).interval_of_means(len(PER_QUERY))
    return dict(zip(PER_QUERY, zip(low.tolist(), high.tolist(), strict=True), strict=True))
