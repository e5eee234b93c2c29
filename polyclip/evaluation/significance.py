"""Paired comparison of two models on the same queries: per language the difference, its interval and its significance.

What is compared are two models, not two methods: the same method with another seed is another model.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from polyclip.core.fields import make_dataframe, read_fields
from polyclip.errors import DataError, UnknownName
from polyclip.evaluation.bootstrap import FLIPS, ClusterSums, adjust_holm, number_clusters
from polyclip.evaluation.metrics import PER_QUERY, compute_query_metrics
from polyclip.evaluation.results import QueryOutcomes

ALPHA = 0.05
BETTER, WORSE, UNCLEAR = "better", "worse", "cannot tell"
MEAN = "mean"
DIRECTIONS = ("text_to_image", "image_to_text")


@dataclass(frozen=True, kw_only=True)
class ComparisonOptions:
    """Which metric is compared.

    Attributes:
        metric: One of PER_QUERY, such as recall@10.
        direction: text_to_image or image_to_text.
        protocol: Name of the protocol; empty means the first of the result.
        languages: Codes of the languages to compare; empty means all that both results have.

    Raises:
        UnknownName: The metric is not a mean over queries, or the direction is unknown.

    """

    metric: str = "recall@10"
    direction: str = DIRECTIONS[0]
    protocol: str = ""
    languages: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for kind, name, known in (("metric", self.metric, PER_QUERY), ("direction", self.direction, DIRECTIONS)):
            if name not in known:
                raise UnknownName(kind, name, known)


@dataclass(frozen=True, kw_only=True)
class Difference:
    """B minus A in one language, or in the mean of all; values are in [0, 1], differences in [-1, 1]."""

    language: str
    seen: tuple[bool, bool]  # by A, by B
    a: float
    b: float
    difference: float
    low: float  # of the 95 % interval of this language alone
    high: float
    p: float  # two-sided
    adjusted: float  # p corrected for the number of languages
    verdict: str  # of B, by `adjusted`
    queries: int
    clusters: int


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Result of `compare`: the difference in every language and in the mean.

    Attributes:
        a: Name of the first model.
        b: Name of the second; differences are b - a.
        benchmark: What both were asked.
        protocol: The same.
        split: The same.
        direction: `text_to_image` or `image_to_text`.
        metric: Such as `recall@10`.
        gallery: Sizes of the smallest and of the largest gallery.
        languages: One difference each: `difference`, `low`, `high`, `p`, `adjusted` and `verdict`.
        mean: The same of their unweighted mean; one test, so nothing to correct.
        left_out: Languages that only one of the two has.
        correction: How p is corrected for the number of languages.
        alpha: Level below which a corrected p is called a difference.
        test: How p is computed.
        interval: How intervals are computed.

    """

    a: str
    b: str
    benchmark: str
    protocol: str
    split: str
    direction: str
    metric: str
    gallery: tuple[int, int]  # smallest and largest
    languages: list[Difference]
    mean: Difference  # unweighted, over `languages`; one test, so nothing to correct
    left_out: list[str]  # languages that only one of the two has
    correction: str = "Holm over languages"
    alpha: float = ALPHA
    test: str = f"two-sided sign flips of whole clusters, {FLIPS}"
    interval: str = "95 % percentile bootstrap of whole clusters, 1000 draws, of each language alone"

    def __repr__(self) -> str:
        """One line: the mean difference with its interval and verdict."""
        mean = self.mean
        return (
            f"Comparison({self.b!r} - {self.a!r}, {self.metric}, {len(self.languages)} languages: "
            f"{mean.difference:+.3f} [{mean.low:+.3f}, {mean.high:+.3f}], {mean.verdict})"
        )

    def to_dataframe(self) -> Any:
        """The differences as a pandas data frame, one row a language and the mean last.

        Raises:
            PolyclipError: pandas is not installed.

        """
        return make_dataframe([*self.languages, self.mean], Difference)


def compare(
    a: Sequence[QueryOutcomes],
    b: Sequence[QueryOutcomes],
    question: ComparisonOptions,
    names: tuple[str, str] = ("A", "B"),
) -> Comparison:
    """Compare two models on the same queries.

    Args:
        a: Outcomes of model A.
        b: Outcomes of model B.
        question: Metric, direction, protocol and languages.
        names: How the models are called in the result and in errors.

    Returns:
        Differences of B minus A in every language that both were scored in, and in their unweighted mean.

    Raises:
        DataError: The queries or galleries differ, or there is nothing to compare.
        UnknownName: A model was not scored under the protocol.

    """
    pairs = pair_outcomes(a, b, question, names)
    *found, mean = compute_differences(pairs, PER_QUERY.index(question.metric))
    first, galleries = pairs[0][0], [outcome.gallery for outcome, _ in pairs]
    both = {outcome.language for outcome, _ in pairs}
    return Comparison(
        a=names[0],
        b=names[1],
        benchmark=first.benchmark,
        protocol=first.protocol,
        split=first.split,
        direction=first.direction,
        metric=question.metric,
        gallery=(min(galleries), max(galleries)),
        languages=found,
        mean=mean,
        left_out=[]
        if question.languages
        else sorted({outcome.language for outcome in (*a, *b) if outcome.protocol == first.protocol} - both),
    )


def compute_differences(pairs: Sequence[tuple[QueryOutcomes, QueryOutcomes]], column: int) -> list[Difference]:
    """Compute the difference in every language, and last in their unweighted mean.

    Args:
        pairs: Outcomes of A and B, one pair per language.
        column: Column of PER_QUERY to compare.

    Returns:
        One difference per language, and last that of the mean.

    """
    old, new = (
        [compute_query_metrics(found.rank, found.gain)[:, column] for found in side]
        for side in zip(*pairs, strict=True)
    )
    changes = ClusterSums.from_values(
        [b - a for a, b in zip(old, new, strict=True)], number_clusters(first.cluster for first, _ in pairs)
    )
    low, high = changes.interval()
    p = changes.p_values()
    adjusted = [*adjust_holm(p[:-1]), p[-1]]
    codes = [*(first.language for first, _ in pairs), MEAN]
    seen = [(first.seen, second.seen) for first, second in pairs]
    seen.append((all(first for first, _ in seen), all(second for _, second in seen)))
    before, after = (append_mean([float(values.mean()) for values in side]) for side in (old, new))
    queries = [len(first.rank) for first, _ in pairs]
    clusters = [len(set(first.cluster)) for first, _ in pairs]
    return [
        Difference(
            language=codes[n],
            seen=seen[n],
            a=before[n],
            b=after[n],
            difference=after[n] - before[n],
            low=float(low[n]),
            high=float(high[n]),
            p=float(p[n]),
            adjusted=float(adjusted[n]),
            verdict=judge_difference(after[n] - before[n], float(adjusted[n])),
            queries=[*queries, sum(queries)][n],
            clusters=[*clusters, len(changes.sums)][n],
        )
        for n in range(len(codes))
    ]


def append_mean(values: list[float]) -> list[float]:
    """Return the values followed by their mean."""
    return [*values, sum(values) / len(values)]


def judge_difference(difference: float, p: float) -> str:
    """Return the verdict on B: better, worse, or cannot tell."""
    return UNCLEAR if p >= ALPHA or difference == 0 else BETTER if difference > 0 else WORSE


def pair_outcomes(
    a: Sequence[QueryOutcomes], b: Sequence[QueryOutcomes], question: ComparisonOptions, names: tuple[str, str]
) -> list[tuple[QueryOutcomes, QueryOutcomes]]:
    """Pair the outcomes of A and B by language, in A's order.

    Args:
        a: Outcomes of model A.
        b: Outcomes of model B.
        question: Direction, protocol and languages.
        names: How the models are called in errors.

    Returns:
        One pair per language.

    Raises:
        DataError: The queries or galleries differ, or there is nothing to compare.
        UnknownName: A model was not scored under the protocol.

    """
    first, second = (select_outcomes(side, question, name) for side, name in zip((a, b), names, strict=True))
    if wrong := sorted(set(question.languages) - (first.keys() & second.keys())):
        raise DataError(
            f"{names[0]} and {names[1]} were not both scored in {', '.join(wrong)}; evaluate both in the same "
            "languages."
        )
    pairs = [
        (outcome, second[code])
        for code, outcome in first.items()
        if code in second and code in (question.languages or second)
    ]
    if not pairs:
        raise DataError(
            f"{names[0]} was scored in {', '.join(first)}, {names[1]} in {', '.join(second)}: no language to compare. "
            "Evaluate both in the same."
        )
    for one, other in pairs:
        check_same_queries(one, other, names)
    return pairs


def select_outcomes(side: Sequence[QueryOutcomes], question: ComparisonOptions, name: str) -> dict[str, QueryOutcomes]:
    """Select one model's outcomes of the protocol and direction, by language.

    Args:
        side: Outcomes of the model.
        question: Protocol and direction.
        name: How the model is called in errors.

    Returns:
        Outcomes by language.

    Raises:
        UnknownName: The model was not scored under the protocol.

    """
    protocols = list(dict.fromkeys(outcome.protocol for outcome in side))
    protocol = question.protocol or protocols[0]
    if protocol not in protocols:
        raise UnknownName(f"protocol in {name}", protocol, protocols)
    return {
        outcome.language: outcome
        for outcome in side
        if (outcome.protocol, outcome.direction) == (protocol, question.direction)
    }


def check_same_queries(a: QueryOutcomes, b: QueryOutcomes, names: tuple[str, str]) -> None:
    """Check that two outcomes have the same queries and gallery.

    Args:
        a: Outcomes of model A in one language.
        b: Outcomes of model B in the same language.
        names: How the models are called in errors.

    Raises:
        DataError: Queries, gallery or clusters differ.

    """
    facts = ("benchmark", "protocol", "split", "gallery", "queries", "cluster")
    of_a, of_b = (read_fields(side, facts) for side in (a, b))
    different = [fact for fact in facts if of_a[fact] != of_b[fact]]
    if different:
        was, now = of_a[different[0]], of_b[different[0]]
        shown = (
            f": {was} and {now}"
            if different[0] not in ("queries", "cluster")
            else f" ({len(a.rank)} and {len(b.rank)})"
        )
        raise DataError(
            f"{names[0]} and {names[1]} were not scored on the same queries in {a.language}: different "
            f"{different[0]}{shown}. "
            "Evaluate both on the same files with the same options, or give --benchmark to do so now."
        )
