"""Two models on the same queries: per language the paired difference, its interval, and whether it is more than chance.

What is compared are two models, not two methods: another seed of the same method is another model.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from polyclip.errors import DataError, UnknownName
from polyclip.evaluation.bootstrap import FLIPS, Tallies, holm, numbered
from polyclip.evaluation.metrics import PER_QUERY, per_query
from polyclip.evaluation.results import QueryOutcomes

ALPHA = 0.05
BETTER, WORSE, UNCLEAR = "better", "worse", "cannot tell"
MEAN = "mean"
DIRECTIONS = ("text_to_image", "image_to_text")


@dataclass(frozen=True, kw_only=True)
class Question:
    """Which figure is compared. An empty protocol is the result's first, no languages are all that both have.

    Raises UnknownName for a metric that is no mean over queries, or another direction.
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
    """B minus A in one language, or in the mean of all. Values are in [0, 1], differences in [-1, 1]."""

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
    """What `polyclip compare` says."""

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


def compare(
    a: Sequence[QueryOutcomes], b: Sequence[QueryOutcomes], question: Question, names: tuple[str, str] = ("A", "B")
) -> Comparison:
    """Differences of B to A in every language that both were asked in.

    Raises DataError where they were not asked the same queries among as many items, or nothing can be compared, UnknownName for a
    protocol that is not there.
    """
    pairs = paired(a, b, question, names)
    *found, mean = differences(pairs, PER_QUERY.index(question.metric))
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


def differences(pairs: Sequence[tuple[QueryOutcomes, QueryOutcomes]], column: int) -> list[Difference]:
    """Of every language, and last of their unweighted mean; `column` of PER_QUERY."""
    old, new = ([per_query(found.rank, found.gain)[:, column] for found in side] for side in zip(*pairs, strict=True))
    changes = Tallies.of([b - a for a, b in zip(old, new, strict=True)], numbered(first.cluster for first, _ in pairs))
    low, high = changes.interval()
    p = changes.p_values()
    adjusted = [*holm(p[:-1]), p[-1]]
    codes = [*(first.language for first, _ in pairs), MEAN]
    seen = [(first.seen, second.seen) for first, second in pairs]
    seen.append((all(first for first, _ in seen), all(second for _, second in seen)))
    before, after = (with_mean([float(values.mean()) for values in side]) for side in (old, new))
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
            verdict=verdict(after[n] - before[n], float(adjusted[n])),
            queries=[*queries, sum(queries)][n],
            clusters=[*clusters, len(changes.sums)][n],
        )
        for n in range(len(codes))
    ]


def with_mean(values: list[float]) -> list[float]:
    """The values, and their mean last."""
    return [*values, sum(values) / len(values)]


def verdict(difference: float, p: float) -> str:
    """Of B: better, worse, or cannot tell."""
    return UNCLEAR if p >= ALPHA or difference == 0 else BETTER if difference > 0 else WORSE


def paired(
    a: Sequence[QueryOutcomes], b: Sequence[QueryOutcomes], question: Question, names: tuple[str, str]
) -> list[tuple[QueryOutcomes, QueryOutcomes]]:
    """The outcomes of A and of B that answer the question, one pair a language in A's order.

    Raises what `compare` raises.
    """
    first, second = (asked(side, question, name) for side, name in zip((a, b), names, strict=True))
    if wrong := sorted(set(question.languages) - (first.keys() & second.keys())):
        raise DataError(
            f"{names[0]} and {names[1]} were not both scored in {', '.join(wrong)}; evaluate both in the same languages."
        )
    pairs = [
        (outcome, second[code])
        for code, outcome in first.items()
        if code in second and code in (question.languages or second)
    ]
    if not pairs:
        raise DataError(
            f"{names[0]} was scored in {', '.join(first)}, {names[1]} in {', '.join(second)}: no language to compare. Evaluate both in the same."
        )
    for one, other in pairs:
        same_queries(one, other, names)
    return pairs


def asked(side: Sequence[QueryOutcomes], question: Question, name: str) -> dict[str, QueryOutcomes]:
    """One model's outcomes by language, under the question's protocol and direction.

    Raises UnknownName for a protocol that is not there.
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


def same_queries(a: QueryOutcomes, b: QueryOutcomes, names: tuple[str, str]) -> None:
    """Raises DataError where the two were not asked the same."""
    facts = ("benchmark", "protocol", "split", "gallery", "queries", "cluster")
    different = [fact for fact in facts if getattr(a, fact) != getattr(b, fact)]
    if different:
        was, now = (getattr(side, different[0]) for side in (a, b))
        shown = (
            f": {was} and {now}"
            if different[0] not in ("queries", "cluster")
            else f" ({len(a.rank)} and {len(b.rank)})"
        )
        raise DataError(
            f"{names[0]} and {names[1]} were not asked the same in {a.language}: other {different[0]}{shown}. "
            "Evaluate both on the same files with the same options, or give --benchmark to do so now."
        )
