"""Captions of one line of a captions.jsonl: the same rules wherever the format is read."""

from collections import Counter
from collections.abc import Iterable

from polyclip.errors import DataError, PolyclipError
from polyclip.languages.resolve import resolve_language
from polyclip.languages.schema import list_languages, load_language


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


def plan_names(written: Iterable[str]) -> dict[str, str]:
    """Plan under which names a corpus keeps its languages: `swh_Latn` becomes `sw`, `nb` becomes `no`.

    Args:
        written: Codes that its captions have.

    Returns:
        A name for each code. A code stays as it is where it is a pack's own, has no pack, or where another code of the
        corpus stands for the same language.

    """
    codes = set(written)
    own = {name for code in list_languages() for name in (code, load_language(code).cldr)}
    meant = {code: code if code in own else find_name(code) for code in codes}
    often = Counter(meant.values())
    return {code: name if often[name] == 1 else code for code, name in meant.items()}


def find_name(code: str) -> str:
    """The name of the pack that a code stands for; the code itself where there is none, or more than one."""
    try:
        return resolve_language(code).code
    except PolyclipError:
        return code
