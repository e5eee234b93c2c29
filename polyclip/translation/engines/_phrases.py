"""A text cut into the longest phrases a table has."""

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

from polyclip.translation.engines._tables import key

Look = Callable[[str], tuple[str, ...]]


@dataclass(frozen=True)
class Piece:
    """Some words of a text, with the punctuation around them. `translations` is empty where no table has them."""

    place: int  # of its first word, so that equal pieces differ
    before: str
    text: str
    after: str
    words: int  # 0 for punctuation alone
    translations: tuple[str, ...] = ()


def pieces(text: str, look: Look, longest: int) -> list[Piece]:
    """From left to right, the longest phrase of at most `longest` words that `look` knows, else one word.

    A phrase ends at punctuation. Words are what spaces part.
    """
    words = [peeled(word) for word in text.split()]
    found = []
    place = 0
    while place < len(words):
        piece = longest_at(words, place, look, longest)
        found.append(piece)
        place += max(piece.words, 1)
    return found


def longest_at(words: list[tuple[str, str, str]], place: int, look: Look, longest: int) -> Piece:
    """The piece that begins at a word."""
    before, bare, after = words[place]
    run = [bare]
    for (_, _, closed), (opened, following, _) in zip(words[place:], words[place + 1 : place + longest], strict=False):
        if closed or opened or not following:
            break
        run.append(following)
    for count in range(len(run) if bare else 0, 0, -1):
        if translations := look(key(" ".join(run[:count]))):
            return Piece(place, before, " ".join(run[:count]), words[place + count - 1][2], count, translations)
    return Piece(place, before, bare, after, int(bool(bare)))


def peeled(word: str) -> tuple[str, str, str]:
    """Punctuation and symbols before a word, the word, and those after it."""
    kept = [place for place, sign in enumerate(word) if unicodedata.category(sign)[0] not in "PSC"]
    if not kept:
        return word, "", ""
    return word[: kept[0]], word[kept[0] : kept[-1] + 1], word[kept[-1] + 1 :]
