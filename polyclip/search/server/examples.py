"""Example queries in a model's languages: names of images in the starter corpus."""

from collections.abc import Iterable
from dataclasses import dataclass

from polyclip.core.toml import CORPORA
from polyclip.data.readers.emoji import languages, read_captions
from polyclip.languages.schema import Language, load_language

CONCEPTS = (
    "1F408",
    "1F6B2",
    "1F418",
    "1F34C",
    "1F697",
    "1F3E0",
    "1F30A",
    "1F41F",
)  # cat, bicycle, elephant, banana, car, house, wave, fish
MOST = 6  # words
LONGEST = 20  # characters


@dataclass(frozen=True)
class Example:
    """A word and its language."""

    word: str
    language: Language


def choose_examples(codes: Iterable[str]) -> list[Example]:
    """Choose up to six words, taking languages in turn; none for languages that the starter corpus does not cover."""
    folder, found = CORPORA / "emoji", []
    known = set(languages(folder))
    for pack in map(load_language, dict.fromkeys(codes)):
        named = read_captions(folder, pack.cldr) if pack.cldr in known else {}
        words = [named[concept][0] for concept in CONCEPTS if concept in named]
        found.append([Example(word, pack) for word in words if len(word) <= LONGEST])
    rounds = [each for number in range(len(CONCEPTS)) for words in found for each in words[number : number + 1]]
    return rounds[:MOST]
