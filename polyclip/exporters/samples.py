"""Real captions in many scripts and real images, on which an export must agree with the run."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from polyclip.core.run_folder import read_settings
from polyclip.data.captions import normalize_captions
from polyclip.data.corpus import Corpus, load_corpus
from polyclip.languages.normalize import find_pack

SCRIPTS = (
    "en",
    "sw",
    "ar",
    "hi",
    "th",
    "zh",
    "am",
    "ru",
    "te",
    "ko",
    "ja",
    "he",
    "el",
    "fr",
)  # emoji names, eleven scripts
EACH = 3  # captions of one language
PICTURES = 12


@dataclass(frozen=True)
class Samples:
    """Normalized captions, and images without transparency."""

    captions: list[str]
    images: list[Image.Image]

    @property
    def wide(self) -> list[bool]:
        """Which images are not square."""
        return [image.width != image.height for image in self.images]


def load_samples(run: Path) -> Samples:
    """Load captions of the run's corpus and emoji names, and images of the run's corpus.

    Raises:
        PackError: The corpus pack is gone.
        DataError: The corpus' files are gone.

    """
    corpus = load_corpus(read_settings(run, "corpus")["corpus"])
    captions = choose_captions(corpus, corpus.reader.languages(corpus.folder)[:4]) if corpus.name != "emoji" else []
    captions += choose_captions(load_corpus("emoji"), SCRIPTS)
    return Samples(list(dict.fromkeys(captions)), choose_images(corpus))


def choose_captions(corpus: Corpus, locales: Any) -> list[str]:
    """Choose a few test captions of each language, including the longest."""
    found = []
    for locale in locales:
        rows = corpus.reader.read(corpus.folder, locale, "test")
        chosen = [*rows[: EACH - 1], max(rows, key=lambda row: len(row.captions[0]))] if rows else []
        found += [row.captions[0] for row in normalize_captions(chosen, find_pack(locale))]
    return found


def choose_images(corpus: Corpus) -> list[Image.Image]:
    """Choose a few images of every style, cropped to squares; every fourth is cropped to a rectangle."""
    opened = []
    styles = corpus.reader.styles(corpus.folder)
    for style in styles:
        drawn = list(corpus.reader.pictures(corpus.folder, style).values())
        each = max(1, PICTURES // len(styles))
        opened += [image.open() for image in drawn[:: max(1, len(drawn) // each)][:each]]
    return [crop_wide(image, number) if number % 4 == 3 else crop_square(image) for number, image in enumerate(opened)]


def crop_square(image: Image.Image) -> Image.Image:
    """Crop the centre square of an image, of which every library reads the same pixels."""
    edge = min(image.size)
    left, top = (image.width - edge) // 2, (image.height - edge) // 2
    return image.crop((left, top, left + edge, top + edge))


def crop_wide(image: Image.Image, number: int) -> Image.Image:
    """Return an image that is not square as it is, else crop three quarters of its height or width."""
    width, height = image.size
    if width != height:
        return image
    return image.crop(
        (0, height // 8, width, height - height // 8)
        if number % 8 == 3
        else (width // 8, 0, width - width // 8, height)
    )
