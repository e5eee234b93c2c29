"""Whether a recall says anything: the cut-offs that mean something in a gallery, and a test against a random ranking.

Recall@10 of ten images is 100 % for every model. A cut-off is shown where a random ranking reaches it in at most a
tenth of the queries, which with one image a query is k <= gallery / 10; recall@1 is always shown.
"""

from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache

import numpy as np
from jaxtyping import Float

from polyclip.evaluation.results import Score

MOST = 0.1  # chance level up to which a recall is shown
ALPHA = 0.025  # one-sided: the level of the lower end of a 95 % interval
RECALLS = ("recall@1", "recall@5", "recall@10")
VERDICT = "cannot be told apart from chance"


def is_telling(score: Score) -> bool:
    """Whether a recall is worth showing: recall@1, or one that a random ranking reaches in at most 10 % of queries."""
    return score.metric == RECALLS[0] or score.chance <= MOST + 1e-9


def list_telling(scores: Iterable[Score]) -> tuple[str, ...]:
    """List the recalls, smallest k first, that are worth showing in at least one language.

    Args:
        scores: Scores of one protocol and direction.

    Returns:
        Names of metrics, `recall@1` at least.

    """
    found = {score.metric for score in scores if score.metric in RECALLS and is_telling(score)}
    return tuple(metric for metric in RECALLS if metric in found or metric == RECALLS[0])


def is_at_chance(score: Score) -> bool:
    """Whether a recall cannot be told apart from that of a random ranking.

    It can where its interval lies above chance and `p_chance`, if it was computed, is below 2.5 %.
    """
    return score.low <= score.chance or (score.p_chance is not None and score.p_chance >= ALPHA)


def compute_chance_p(
    hits: Float[np.ndarray, " query"], clusters: Sequence[str], chance: float | Float[np.ndarray, " query"]
) -> float:
    """Probability that a random ranking has at least as many hits.

    The captions of one image, or of one concept, may all hit or miss together, so that a cluster counts as one trial
    with the weight of its queries; clusters are independent. Where queries of a cluster are in truth less alike, or
    clusters differ in their chance, the true probability is smaller: the test errs on the side of chance.

    Args:
        hits: 1 for a hit, 0 for a miss.
        clusters: Cluster of each query.
        chance: Expected recall of a random ranking, of all queries or of each, in [0, 1].

    Returns:
        One-sided p in [0, 1], from the exact distribution of the sum.

    """
    levels = tuple(np.atleast_1d(chance).tolist())
    return float(np.clip(distribute_hits(tuple(clusters), levels)[round(float(hits.sum())) :].sum(), 0.0, 1.0))


@lru_cache(maxsize=128)  # languages that name the same images have the same
def distribute_hits(clusters: tuple[str, ...], chance: tuple[float, ...]) -> Float[np.ndarray, " hits"]:
    """Probability of each number of hits, from none to all, of a random ranking.

    Args:
        clusters: Cluster of each query.
        chance: Expected recall, of all queries or of each.

    """
    number = {name: place for place, name in enumerate(dict.fromkeys(clusters))}
    index = np.array([number[name] for name in clusters])
    weight = np.bincount(index)
    share = np.bincount(index, np.broadcast_to(chance, len(index))) / weight
    wave = np.exp(-2j * np.pi * np.arange(len(index) + 1) / (len(index) + 1))
    spectrum = np.ones(len(wave), dtype=complex)
    kinds, count = np.unique(np.column_stack([weight, share.round(12)]), axis=0, return_counts=True)
    for (size, p), times in zip(kinds, count, strict=True):
        spectrum *= (1 - p + p * wave**size) ** times  # characteristic function of the clusters of this kind
    return np.fft.ifft(spectrum).real


def describe_chance(scores: Iterable[Score], named: Collection[str]) -> list[str]:
    """Name the trained languages whose headline recall is not above chance.

    Args:
        scores: Scores of a result; the first protocol is the headline.
        named: Codes of the languages to look at.

    Returns:
        Codes of those of which no shown text-to-image recall can be told apart from chance.

    """
    found: dict[str, list[Score]] = {}
    listed = list(scores)
    for score in listed:
        headline = score.protocol == listed[0].protocol and score.direction == "text_to_image"
        if headline and score.language in named and score.metric in RECALLS and is_telling(score):
            found.setdefault(score.language, []).append(score)
    return [code for code, own in found.items() if all(map(is_at_chance, own))]
