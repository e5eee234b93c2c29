"""Which language a text is in, by py3langid among the languages that polyclip has packs for."""

from collections.abc import Sequence
from functools import cache
from typing import Any

from polyclip.languages.normalize import pack_of
from polyclip.languages.schema import Language

SURE = 0.9  # of py3langid's probability
WORDS = 4  # of a query, below which its language is not guessed
IDENTIFIER_CODES = {"fil": "tl", "quz": "qu", "kok": "gom"}  # of py3langid, where they are not the pack's own
UNIDENTIFIED = {"pcm"}  # in the library, which takes 99 of 100 names that people gave in it for another language's


def identified(language: Language) -> str:
    """What py3langid calls the language; empty where it is of no use for it."""
    return "" if language.code in UNIDENTIFIED else IDENTIFIER_CODES.get(language.code, language.code)


@cache
def identifier() -> Any:
    """py3langid's naive Bayes over byte sequences, 140 languages, with probabilities."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


@cache
def labels() -> frozenset[str]:
    """Languages that it knows."""
    return frozenset(identifier().labels)


def guessed(text: str, packs: Sequence[Language]) -> Language | None:
    """The pack of another language that the text is surely in, as far as one can tell."""
    own = {identified(pack) for pack in packs}
    if len(text.split()) < WORDS or not own <= labels():
        return None
    code, share = identifier().rank(text)[0]
    return pack_of(code) if code not in own and share >= SURE else None
