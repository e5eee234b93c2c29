"""Image augmentations that follow from the image's own key, so that each is encoded once and cached."""

import random
from functools import partial

from PIL import Image

from polyclip.core.storage import hash_parts
from polyclip.data.types import ImageSource

SCALE = (0.5, 1.0)  # share of the area that a crop keeps; LilT takes (0.2, 1.0) of photographs
TURN = 15.0  # degrees at most, to either side


def make_augmentation(image: ImageSource, number: int) -> ImageSource:
    """Make an augmentation of an image: cropped, flipped by chance, and rotated a little; colours stay (LilT).

    Args:
        image: The image.
        number: Number of the augmentation; 0 is the image itself.

    Returns:
        The augmentation, with a name and key of its own; rendered when it is opened.

    """
    if number == 0:
        return image
    key = hash_parts(image.key, f"view {number}, crop {SCALE}, turn {TURN}")
    return ImageSource(f"{image.name} (view {number})", key, partial(render_augmentation, image, key))


def render_augmentation(source: ImageSource, key: str) -> Image.Image:
    """Render the augmentation that `key` stands for; what a rotation uncovers is white."""
    chance = random.Random(key)
    image = source.open().rotate(chance.uniform(-TURN, TURN), Image.Resampling.BICUBIC, fillcolor="white")
    edge = chance.uniform(*SCALE) ** 0.5
    width, height = (max(1, round(side * edge)) for side in image.size)
    left, top = chance.randint(0, image.width - width), chance.randint(0, image.height - height)
    image = image.crop((left, top, left + width, top + height))
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if chance.random() < 0.5 else image
