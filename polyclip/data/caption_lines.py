"""Captions of one line of a captions.jsonl: the same rules wherever the format is read."""

from collections.abc import Iterable
from functools import cache

from polyclip.errors import DataError, PolyclipError
from polyclip.languages.resolve import resolve_language


def clean_captions(value: object, where: str) -> dict[str, list[str]]:
    """Check the captions of a line, and bring them into lists.

    Args:
        value: By language a list of captions, or one caption; null and an empty list mean that there is none.
        where: File and line, for error messages.

    Returns:
        Captions by language; languages without one are left out.

    Raises:
        DataError: It is no such table, or a caption is empty.

    """
    if not isinstance(value, dict):
        raise DataError(f"{where}: captions are {str(value)[:80]}, expected lists of text by language.")
    found = {}
    for language, own in value.items():
        texts = [own] if isinstance(own, str) else [] if own is None else own
        if not isinstance(texts, list) or not all(isinstance(text, str) and text.strip() for text in texts):
            raise DataError(
                f"{where}: an empty caption, or captions that are not lists of text by language: {language}: "
                f"{str(own)[:80]}."
            )
        if texts:
            found[language] = texts
    return found


def resolve_codes(written: Iterable[str], where: str = "") -> dict[str, str]:
    """Resolve the codes of one line or sample: `swh_Latn` becomes `sw`.

    Args:
        written: Codes that its captions have.
        where: File and line, for error messages.

    Returns:
        The code of the pack by what is written; a code without a pack stays as it is.

    Raises:
        DataError: Two codes stand for the same language.

    """
    found: dict[str, str] = {}
    for code in written:
        name = find_name(code)
        twice = next((other for other, same in found.items() if same == name), None)
        if twice is not None:
            prefix = f"{where}: " if where else ""
            raise DataError(f"{prefix}{twice!r} and {code!r} both mean {name}; put its captions in one list.")
        found[code] = name
    return found


@cache
def find_name(code: str) -> str:
    """The name of the pack that a code stands for; the code itself where there is none, or more than one."""
    try:
        return resolve_language(code).code
    except PolyclipError:
        return code
