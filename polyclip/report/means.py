"""Unweighted means over languages, each with the list of the languages it is over."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from polyclip.evaluation.bootstrap import Tallies, numbered
from polyclip.evaluation.metrics import PER_QUERY, per_query
from polyclip.evaluation.results import Measured, Score

GROUPS = {"all": (True, False), "trained": (True,), "never trained": (False,)}


def means(scores: Iterable[Score]) -> list[dict[str, Any]]:
    """For every protocol, direction, metric and group of languages: value, 95 % interval, chance and the languages.

    The interval redraws whole clusters in all languages together; it is null where the scores do not know their queries.
    """
    series: dict[tuple[str, ...], dict[str, list[Score]]] = {}
    for score in scores:
        by_metric = series.setdefault((score.benchmark, score.protocol, score.split, score.direction), {})
        by_metric.setdefault(score.metric, []).append(score)
    found = []
    for (benchmark, protocol, split, direction), by_metric in series.items():
        facts = {"benchmark": benchmark, "protocol": protocol, "split": split, "direction": direction}
        clusters = clusters_of(next(iter(by_metric.values())))
        for group, seen in GROUPS.items():
            members = {metric: [score for score in own if score.seen in seen] for metric, own in by_metric.items()}
            found += [facts | {"group": group} | line(metric, own, clusters) for metric, own in members.items() if own]
    return found


def clusters_of(scores: Sequence[Score]) -> dict[str, np.ndarray]:
    """The clusters of every language's queries, by number; of those whose scores know them."""
    known = {score.language: score.outcome.cluster for score in scores if isinstance(score, Measured)}
    return dict(zip(known, numbered(known.values()), strict=True))


def line(metric: str, scores: Sequence[Score], clusters: dict[str, np.ndarray]) -> dict[str, Any]:
    """One metric in one group."""
    low, high = interval(metric, scores, clusters)
    value, chance = (sum(getattr(score, key) for score in scores) / len(scores) for key in ("value", "chance"))
    return {
        "metric": metric,
        "value": value,
        "low": low,
        "high": high,
        "chance": chance,
        "languages": [score.language for score in scores],
    }


def interval(
    metric: str, scores: Sequence[Score], clusters: dict[str, np.ndarray]
) -> tuple[float, float] | tuple[None, None]:
    """Of the mean over languages."""
    outcomes = [score.outcome for score in scores if isinstance(score, Measured)]
    if metric not in PER_QUERY or len(outcomes) != len(scores):
        return None, None
    column = PER_QUERY.index(metric)
    values = [per_query(outcome.rank, outcome.gain)[:, column] for outcome in outcomes]
    low, high = Tallies.of(values, [clusters[outcome.language] for outcome in outcomes]).interval()
    return float(low[-1]), float(high[-1])
