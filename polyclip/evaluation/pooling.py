"""Scores of several folds, each of another model and gallery, pooled into one.

Each query counts once, in the gallery of its own fold. Intervals redraw the folds and within each the clusters, since
the queries of a fold share a model and a gallery; this two-stage bootstrap errs on the wide side (Davison and Hinkley
1997, section 3.8).
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from polyclip.core.fields import read_fields
from polyclip.core.storage import hash_parts
from polyclip.evaluation.chance import RECALLS, compute_chance_p
from polyclip.evaluation.metrics import PER_QUERY, compute_query_metrics
from polyclip.evaluation.results import PerQueryScore, QueryOutcomes, Score
from polyclip.evaluation.retrieval import BenchmarkReport

DRAWS = 1000
INTERVAL = f"95 % percentile bootstrap, {DRAWS} draws of folds and of whole clusters within them"


def pool_reports(reports: Sequence[BenchmarkReport], requested: Sequence[str]) -> BenchmarkReport:
    """Pool what a benchmark found in every fold.

    Args:
        reports: One for each fold.
        requested: Codes of the languages that were asked for.

    Returns:
        Scores by language, protocol and direction over all folds; the protocol says how many folds.

    """
    found: dict[tuple[str, str, str], list[list[Score]]] = {}
    for report in reports:
        own: dict[tuple[str, str, str], list[Score]] = {}
        for score in report.scores:
            own.setdefault((score.protocol, score.language, score.direction), []).append(score)
        for key, scores in own.items():
            found.setdefault(key, []).append(scores)
    scores = [score for parts in found.values() for score in pool_scores(parts, len(reports))]
    counts = {key: sum(report.counts[key] for report in reports) for key in reports[0].counts}
    scored = {score.language for score in scores}
    notes = list(dict.fromkeys(note for report in reports for note in report.notes if "without score" not in note))
    without = [code for code in requested if code not in scored]
    notes += [f"without score, no captions: {', '.join(without)}"] if without else []
    return BenchmarkReport(scores, counts, notes, without)


def pool_scores(parts: Sequence[Sequence[Score]], folds: int) -> list[Score]:
    """Pool the scores of one language, protocol and direction.

    Args:
        parts: Scores of every fold that has queries of the language, with the outcomes of these.
        folds: How many folds there are.

    Returns:
        One score for each metric.

    """
    chance: dict[str, list[float]] = {score.metric: [] for score in parts[0]}
    outcomes: list[QueryOutcomes] = []
    for scores in parts:
        first = scores[0]
        if not isinstance(first, PerQueryScore):
            raise TypeError("Scores can be pooled only with the outcomes of their queries.")
        outcomes.append(first.outcome)
        for score in scores:
            chance[score.metric].append(score.chance)
    sizes = np.array([len(outcome.rank) for outcome in outcomes])
    pooled = join_outcomes(outcomes, folds)
    per_fold = [compute_query_metrics(outcome.rank, outcome.gain) for outcome in outcomes]
    columns = np.concatenate(per_fold)
    place = np.concatenate([(outcome.rank + 1) / outcome.gallery for outcome in outcomes])
    drawn = draw_weights(outcomes)
    low, high = np.percentile((drawn @ columns) / drawn.sum(1, keepdims=True), [2.5, 97.5], axis=0)
    order = np.argsort(place, kind="stable")
    total = np.cumsum(drawn[:, order], axis=1)
    medians = place[order][(total * 2 >= total[:, -1:]).argmax(1)]
    rows = [(name, columns[:, n].mean(), low[n], high[n]) for n, name in enumerate(PER_QUERY)]
    rows.append(("median_rank", np.sort(place)[(len(place) - 1) // 2], *np.percentile(medians, [2.5, 97.5])))
    facts = read_fields(parts[0][0], Score)
    facts |= {"protocol": pooled.protocol, "queries": int(sizes.sum()), "gallery": pooled.gallery}
    found = []
    for name, value, least, most in rows:
        p = None
        if name in RECALLS:
            p = compute_chance_p(
                columns[:, PER_QUERY.index(name)], name_clusters(outcomes), np.repeat(chance[name], sizes)
            )
        level = float(np.average(chance[name], weights=sizes))
        own = {"metric": name, "value": float(value), "low": float(least), "high": float(most), "chance": level}
        found.append(PerQueryScore(pooled, **facts | own | {"p_chance": p}))
    return list(found)


def join_outcomes(outcomes: Sequence[QueryOutcomes], folds: int) -> QueryOutcomes:
    """Join the outcomes of all folds; the gallery is that of a fold on average."""
    return replace(
        outcomes[0],
        protocol=f"{outcomes[0].protocol}, {folds} folds",
        folds=folds,
        gallery=round(sum(outcome.gallery for outcome in outcomes) / len(outcomes)),
        queries=hash_parts(*(outcome.queries for outcome in outcomes)),
        cluster=tuple(name for outcome in outcomes for name in outcome.cluster),
        rank=np.concatenate([outcome.rank for outcome in outcomes]),
        gain=np.concatenate([outcome.gain for outcome in outcomes]),
    )


def name_clusters(outcomes: Sequence[QueryOutcomes]) -> list[str]:
    """Name the cluster of each query; clusters of two folds are never the same."""
    return [f"{number} {name}" for number, outcome in enumerate(outcomes) for name in outcome.cluster]


def draw_weights(outcomes: Sequence[QueryOutcomes], seed: int = 0) -> Float[np.ndarray, "draw query"]:
    """Draw how often each query counts in each resample: folds with replacement, then clusters within each of them."""
    generator = np.random.default_rng(seed)
    count = len(outcomes)
    times = generator.multinomial(count, np.full(count, 1 / count), size=DRAWS)
    columns = []
    for number, outcome in enumerate(outcomes):
        place = {name: n for n, name in enumerate(dict.fromkeys(outcome.cluster))}
        share = np.full(len(place), 1 / len(place))
        weight = generator.multinomial(len(place) * times[:, number], share)
        columns.append(weight[:, [place[name] for name in outcome.cluster]])
    return np.concatenate(columns, axis=1).astype(np.float64)
