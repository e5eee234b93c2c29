"""Language identification of a text, by py3langid among the languages that have a pack."""

from collections.abc import Sequence
from functools import cache
from threading import Lock
from typing import Any

from polyclip.languages.normalize import find_pack
from polyclip.languages.schema import Language

SURE = 0.9  # of py3langid's probability
WORDS = 4  # of a query, below which its language is not detected
IDENTIFIER_CODES = {"fil": "tl", "quz": "qu", "kok": "gom"}  # of py3langid, where they are not the pack's own
UNIDENTIFIED = {"pcm"}  # by py3langid, which assigns 99 of 100 human captions in it to another language


def get_identifier_code(language: Language) -> str:
    """The label of py3langid for a language; empty where it is unreliable."""
    return "" if language.code in UNIDENTIFIED else IDENTIFIER_CODES.get(language.code, language.code)


_loading = Lock()


def load_identifier() -> Any:
    """Load py3langid's naive Bayes classifier over byte sequences, 140 languages, with probabilities.

    Threads that ask at the same time wait for one of them.
    """
    with _loading:
        return _read_identifier()


@cache
def _read_identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


@cache
def list_labels() -> frozenset[str]:
    """List the languages that py3langid knows, as its own codes."""
    return frozenset(load_identifier().labels)


def guess_language(text: str, packs: Sequence[Language]) -> Language | None:
    """Detect whether a query is in another language than expected.

    Args:
        text: The query; below four words no guess is made.
        packs: The languages that are expected.

    Returns:
        The pack of the language detected with a probability of at least 0.9, or None where the text is in one of
        `packs`, too short or unclear.

    """
    own = {get_identifier_code(pack) for pack in packs}
    if len(text.split()) < WORDS or not own <= list_labels():
        return None
    code, share = load_identifier().rank(text)[0]
    return find_pack(code) if code not in own and share >= SURE else None
