"""How likely the first hit is what a text asks for, from how it stands above the rest of the gallery.

A cosine alone does not say: wrong hits of one query stand higher than right ones of another. What says more is the
height above the gallery's own scores for that query, in their standard deviations, and how many different things the
gallery shows. The lead before the second image says nothing where a thing is shown twice, and is not used. The logistic
regression was fitted by scripts/measure_search.py on validation queries with and without an answer. Captions raise the
best score of wrong images too, so that the height says less the more they count: scripts/measure_captions.py.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

Level = Literal["high", "medium", "low"]

COEFFICIENTS = (0.386, 1.502, -1.582)  # intercept, height, logarithm of the number of different images
CAPTIONED = (-4.551, -0.867, 1.651)  # added to these, times how much captions count
HIGH, MEDIUM = 0.5, 0.15  # the least of these levels
FEWEST = 8  # images below which the scores are no distribution to stand above
LARGEST = 300  # different images of the largest gallery that it was fitted on, about
ALIKE = 3.0  # standard deviations above the mean cosine of two images from which on they count as one thing
ROUNDING = 1e-3  # of cosines that are all the same
NEAR_DUPLICATE = 0.95  # cosine from which on two images are one thing in any gallery
COMPARED = 256  # images, at most, that are compared with all others to count different ones
BLOCK = 65_536  # images that those are compared with at once


@dataclass(frozen=True)
class Confidence:
    """How likely the first hit of a text query is right.

    Attributes:
        confidence: Chance in [0, 1], fitted on validation queries.
        level: "high" from 0.5 on, "medium" from 0.15 on, else "low": no good match.

    """

    confidence: float
    level: Level


def count_different(embeddings: Any) -> float:
    """Estimate how many different things a gallery shows: an image that has n - 1 others like it counts 1/n.

    Images are alike where their cosine is unusually high for this gallery, so that it depends on no model's scale.

    Args:
        embeddings: Unit vectors [row, dim], of numpy; at least one.

    Returns:
        A number from 1 to the number of rows, estimated from an even sample of the rows.

    """
    rows = np.asarray(embeddings, np.float32)
    places = np.arange(0, len(rows), -(-len(rows) // COMPARED))
    cosines = np.concatenate([rows[places] @ rows[at : at + BLOCK].T for at in range(0, len(rows), BLOCK)], axis=1)
    own = (np.arange(len(places)), places)
    cosines[own] = np.nan
    if len(rows) == 1:
        return 1.0
    least = min(np.nanmean(cosines) + max(ALIKE * np.nanstd(cosines), ROUNDING), NEAR_DUPLICATE)
    cosines[own] = np.inf
    return len(rows) * float((1 / (cosines >= least).sum(axis=1)).mean())


def describe_scores(best: float, scores: Any, different: float) -> tuple[float, float]:
    """Describe how the best score stands above the others.

    In galleries larger than those measured the best of many scores is higher by chance alone, by about the growth of
    sqrt(2 ln n); that growth is taken off.

    Args:
        best: The highest cosine.
        scores: Cosines of the query with all images, or with an even sample of them, at least two: [row], of torch or
            numpy.
        different: How many different things the gallery shows, as `count_different` says.

    Returns:
        Height of the best above the mean, in standard deviations, and the natural logarithm of the number of different
        things.

    """
    scores = np.asarray(scores, np.float32)
    spread = max(float(scores.std(ddof=1)), 1e-6)
    known = min(different, LARGEST)
    by_chance = math.sqrt(2 * math.log(different)) - math.sqrt(2 * math.log(known))
    return (best - float(scores.mean())) / spread - by_chance, math.log(known)


def measure_confidence(
    best: float, scores: Any, count: int, different: float, captioned: float = 0.0
) -> Confidence | None:
    """Return the confidence in the best image of a text query.

    Args:
        best: The highest score.
        scores: Scores of all images or of an even sample of them, as `ranking.score_images` makes them.
        count: Images of the gallery.
        different: How many different things they show, as `count_different` says.
        captioned: How much captions count, in [0, 1]: their weight times the share of images that have one.

    Returns:
        The confidence; None for fewer than 8 images.

    """
    if count < FEWEST:
        return None
    facts = (1.0, *describe_scores(best, scores, different))
    odds = sum(
        (plain + captioned * more) * fact for plain, more, fact in zip(COEFFICIENTS, CAPTIONED, facts, strict=True)
    )
    value = 1 / (1 + math.exp(-max(-50.0, min(50.0, odds))))
    return Confidence(value, "high" if value >= HIGH else "medium" if value >= MEDIUM else "low")
