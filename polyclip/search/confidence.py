"""How likely the first hit is what a text asks for, from how it stands above the rest of the gallery.

A cosine alone does not say: wrong hits of one query stand higher than right ones of another. What says more is the
height above the gallery's own scores for that query, in their standard deviations, and the lead before the second
image. The logistic regression was fitted by scripts/measure_search.py on validation queries with and without an answer.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

Level = Literal["high", "medium", "low"]

COEFFICIENTS = (-1.233, 1.348, 0.464, -1.071)  # intercept, height, lead, logarithm of the number of images
HIGH, MEDIUM = 0.5, 0.15  # the least of these levels
FEWEST = 8  # images below which the scores are no distribution to stand above
LARGEST = 300  # images of the largest gallery that it was fitted on, about


@dataclass(frozen=True)
class Confidence:
    """How likely the first hit of a text query is right.

    Attributes:
        confidence: Chance in [0, 1], fitted on validation queries.
        level: "high" from 0.5 on, "medium" from 0.15 on, else "low": no good match.

    """

    confidence: float
    level: Level


def describe_scores(best: float, second: float, scores: Any, count: int) -> tuple[float, float, float]:
    """Describe how the best score stands above the others.

    In galleries larger than those measured the best of many scores is higher by chance alone, by about the growth of
    sqrt(2 ln n); that growth is taken off.

    Args:
        best: The highest cosine.
        second: The second highest.
        scores: Cosines of the query with all images, or with an even sample of them, at least two: [row], of torch or
            numpy.
        count: Images of the gallery.

    Returns:
        Height of the best above the mean and its lead before the second, both in standard deviations, and the natural
        logarithm of the number of images.

    """
    scores = np.asarray(scores, np.float32)
    spread = max(float(scores.std(ddof=1)), 1e-6)
    known = min(count, LARGEST)
    by_chance = math.sqrt(2 * math.log(count)) - math.sqrt(2 * math.log(known))
    return (best - float(scores.mean())) / spread - by_chance, (best - second) / spread, math.log(known)


def measure_confidence(best: float, second: float, scores: Any, count: int) -> Confidence | None:
    """Return the confidence in the best image of a text query.

    Args:
        best: The highest cosine.
        second: The second highest.
        scores: Cosines of the query with all images, or with an even sample of them.
        count: Images of the gallery.

    Returns:
        The confidence; None for fewer than 8 images.

    """
    if count < FEWEST:
        return None
    facts = describe_scores(best, second, scores, count)
    odds = COEFFICIENTS[0] + sum(weight * fact for weight, fact in zip(COEFFICIENTS[1:], facts, strict=True))
    value = 1 / (1 + math.exp(-max(-50.0, min(50.0, odds))))
    return Confidence(value, "high" if value >= HIGH else "medium" if value >= MEDIUM else "low")
