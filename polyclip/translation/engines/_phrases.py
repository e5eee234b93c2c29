"""Segmentation of a text into the longest phrases that a table has."""

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

from polyclip.translation.engines._tables import to_phrase_key

LookUp = Callable[[str], tuple[str, ...]]


@dataclass(frozen=True)
class Piece:
    """Some words of a text, with the punctuation around them; `translations` is empty where no table has them."""

    place: int  # of its first word, so that equal pieces differ
    before: str
    text: str
    after: str
    words: int  # 0 for punctuation alone
    translations: tuple[str, ...] = ()


def split_phrases(text: str, look_up: LookUp, longest: int) -> list[Piece]:
    """Split a text from left to right into the longest phrases that `look_up` knows, else single words.

    A phrase ends at punctuation. Words are separated by spaces.

    Args:
        text: The text.
        look_up: Gives the translations of a phrase.
        longest: The most words of a phrase.

    Returns:
        The pieces, in their order.

    """
    words = [split_punctuation(word) for word in text.split()]
    found = []
    place = 0
    while place < len(words):
        piece = find_longest(words, place, look_up, longest)
        found.append(piece)
        place += max(piece.words, 1)
    return found


def find_longest(words: list[tuple[str, str, str]], place: int, look_up: LookUp, longest: int) -> Piece:
    """Find the longest known phrase that begins at a word, else the word itself."""
    before, bare, after = words[place]
    run = [bare]
    for (_, _, closed), (opened, following, _) in zip(words[place:], words[place + 1 : place + longest], strict=False):
        if closed or opened or not following:
            break
        run.append(following)
    for count in range(len(run) if bare else 0, 0, -1):
        if translations := look_up(to_phrase_key(" ".join(run[:count]))):
            return Piece(place, before, " ".join(run[:count]), words[place + count - 1][2], count, translations)
    return Piece(place, before, bare, after, int(bool(bare)))


def split_punctuation(word: str) -> tuple[str, str, str]:
    """Split a word into the punctuation before it, the word, and the punctuation after it."""
    kept = [place for place, sign in enumerate(word) if unicodedata.category(sign)[0] not in "PSC"]
    if not kept:
        return word, "", ""
    return word[: kept[0]], word[kept[0] : kept[-1] + 1], word[kept[-1] + 1 :]
