"""Rank images by their embeddings and by the captions that people wrote for them; in numpy, without torch.

Cosines of a query with captions are higher than those with images, so neither can be added to the other as it is. Each
is put into standard deviations above its own mean over the collection; the weighted mean of both is put back into the
scale of the images' cosines. Where few images have a caption, their mean and deviation say little, so they are drawn
towards those of any query, which the index keeps. An image without a caption stands by its own cosine.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from polyclip.errors import DataError

CAPTION_WEIGHT = 0.7  # of captions, beside 1 - 0.7 of images; chosen by scripts/measure_captions.py on validation
PRIOR = 20  # captioned images that the usual mean and deviation count as
FLAT = 1e-6  # a smaller standard deviation says nothing


@dataclass(frozen=True)
class Scores:
    """Scores of one query, by image: float32.

    Attributes:
        total: What images are ranked by, in the scale of cosines with images.
        from_caption: How much of it comes from the nearest caption; 0 for images without one.
        nearest: Place of that caption; -1 for images without one.

    """

    total: Any
    from_caption: Any
    nearest: Any


def score_alone(image: Any) -> Scores:
    """Scores of images by themselves."""
    return Scores(np.asarray(image, np.float32), np.zeros(len(image), np.float32), np.full(len(image), -1))


def check_weight(weight: float) -> float:
    """Return the weight of captions; DataError where it is not in [0, 1]."""
    if not 0 <= weight <= 1:
        raise DataError(f"Expected a weight of captions from 0 (images alone) to 1, found {weight}.")
    return weight


def choose_nearest(caption: Any, rows: Any, count: int) -> Any:
    """Choose the caption of each image that is nearest to the query; the first of equal ones.

    Args:
        caption: Cosines with the captions, [caption].
        rows: Row of each caption's image, [caption].
        count: Number of images.

    Returns:
        Places of captions, [row]; -1 for images without one.

    """
    order = np.lexsort((-np.arange(len(caption)), caption))  # the best comes last and stays
    nearest = np.full(count, -1)
    nearest[np.asarray(rows)[order]] = order
    return nearest


def score_images(image: Any, caption: Any, rows: Any, weight: float, usual: tuple[float, float]) -> Scores:
    """Combine the scores of images and of their captions.

    Args:
        image: Cosines of the query with the images, [row].
        caption: Cosines with the captions, [caption].
        rows: Row of each caption's image, [caption].
        weight: Of the captions, in [0, 1]; images have the rest.
        usual: Mean and standard deviation, over any queries, of the cosine with an image's nearest caption.

    Returns:
        The scores.

    """
    image, caption = np.asarray(image, np.float32), np.asarray(caption, np.float32)
    nearest = choose_nearest(caption, rows, len(image))
    has = nearest >= 0
    best = caption[nearest[has]]
    share = len(best) / (len(best) + PRIOR)
    mean = share * float(best.mean()) + (1 - share) * usual[0] if len(best) else usual[0]
    variance = share * float(best.var()) + (1 - share) * usual[1] ** 2 if len(best) else 0.0
    height = (best - mean) / max(variance**0.5, FLAT)
    total, said = image.copy(), np.zeros(len(image), np.float32)
    said[has] = weight * (float(image.mean()) + float(image.std()) * height)
    total[has] = (1 - weight) * image[has] + said[has]
    return Scores(total, said, nearest)


def measure_usual(cosines: Any, rows: Any, count: int) -> tuple[float, float]:
    """Measure the cosine with an image's nearest caption over any queries.

    Args:
        cosines: Of queries with captions, [query, caption]; at least one of each.
        rows: Row of each caption's image, [caption].
        count: Number of images.

    Returns:
        Mean and standard deviation.

    """
    nearest = [choose_nearest(one, rows, count) for one in np.asarray(cosines, np.float32)]
    best = np.concatenate([one[place[place >= 0]] for one, place in zip(np.asarray(cosines), nearest, strict=True)])
    return float(best.mean()), float(best.std())
