"""Augmented views of a picture: each is drawn once from the picture's own key, so that it can be encoded once and kept."""

import random
from functools import partial

from PIL import Image

from polyclip.core.storage import digest
from polyclip.data.types import ImageSource

SCALE = (0.5, 1.0)  # share of the area that a crop keeps; LilT takes (0.2, 1.0) of photographs
TURN = 15.0  # degrees at most, to either side


def view(picture: ImageSource, number: int) -> ImageSource:
    """View 0 is the picture itself; others are cropped, flipped by chance, and turned a little. Colours stay (LilT)."""
    if number == 0:
        return picture
    key = digest(picture.key, f"view {number}, crop {SCALE}, turn {TURN}")
    return ImageSource(f"{picture.name} (view {number})", key, partial(drawn, picture, key))


def drawn(picture: ImageSource, key: str) -> Image.Image:
    """The view that `key` stands for; what a turn uncovers is white."""
    chance = random.Random(key)
    image = picture.open().rotate(chance.uniform(-TURN, TURN), Image.Resampling.BICUBIC, fillcolor="white")
    edge = chance.uniform(*SCALE) ** 0.5
    width, height = (max(1, round(side * edge)) for side in image.size)
    left, top = chance.randint(0, image.width - width), chance.randint(0, image.height - height)
    image = image.crop((left, top, left + width, top + height))
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if chance.random() < 0.5 else image
