"""Real captions in many scripts and real pictures, on which an export has to say what the run says."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from polyclip.core.run_folder import read_run
from polyclip.data.captions import normalised
from polyclip.data.corpus import Corpus, load_corpus
from polyclip.languages.normalize import pack_of

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
    """Captions, already normalised, and pictures, already without transparency."""

    captions: list[str]
    pictures: list[Image.Image]

    @property
    def wide(self) -> list[bool]:
        """Which pictures are not square."""
        return [picture.width != picture.height for picture in self.pictures]


def samples(run: Path) -> Samples:
    """Captions of the run's corpus and of the emoji names, and pictures of the run's corpus.

    Raises PackError and DataError where the corpus is no longer there.
    """
    corpus = load_corpus(read_run(run)["corpus"])
    captions = captions_of(corpus, corpus.reader.languages(corpus.folder)[:4]) if corpus.name != "emoji" else []
    captions += captions_of(load_corpus("emoji"), SCRIPTS)
    return Samples(list(dict.fromkeys(captions)), pictures_of(corpus))


def captions_of(corpus: Corpus, locales: Any) -> list[str]:
    """A few test captions of each language, the longest among them."""
    found = []
    for locale in locales:
        rows = corpus.reader.read(corpus.folder, locale, "test")
        chosen = [*rows[: EACH - 1], max(rows, key=lambda row: len(row.captions[0]))] if rows else []
        found += [row.captions[0] for row in normalised(chosen, pack_of(locale))]
    return found


def pictures_of(corpus: Corpus) -> list[Image.Image]:
    """A few pictures of every style, cut square; of each fourth a part that is wide or high."""
    opened = []
    styles = corpus.reader.styles(corpus.folder)
    for style in styles:
        drawn = list(corpus.reader.pictures(corpus.folder, style).values())
        each = max(1, PICTURES // len(styles))
        opened += [picture.open() for picture in drawn[:: max(1, len(drawn) // each)][:each]]
    return [wide(picture, number) if number % 4 == 3 else square(picture) for number, picture in enumerate(opened)]


def square(picture: Image.Image) -> Image.Image:
    """The middle of a picture: every library reads the same pixels of it."""
    edge = min(picture.size)
    left, top = (picture.width - edge) // 2, (picture.height - edge) // 2
    return picture.crop((left, top, left + edge, top + edge))


def wide(picture: Image.Image, number: int) -> Image.Image:
    """The picture where it is not square, else three quarters of its height or of its width."""
    width, height = picture.size
    if width != height:
        return picture
    return picture.crop(
        (0, height // 8, width, height - height // 8)
        if number % 8 == 3
        else (width // 8, 0, width - width // 8, height)
    )
