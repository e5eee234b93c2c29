"""Resolve any spelling of a language to its pack: codes of every scheme, names, tags with a script or a region."""

import unicodedata
from collections import defaultdict
from functools import lru_cache
from pathlib import Path

import langcodes

from polyclip.errors import AmbiguousName, UnknownName
from polyclip.languages.schema import Language, dump_adopted, list_languages, load_language, load_languages
from polyclip.languages.validate import load_own_language

SCHEMES = {
    "flores": "Flores-200",
    "nllb": "NLLB-200",
    "m2m100": "M2M-100",
    "madlad": "MADLAD-400",
    "opus_mt": "OPUS-MT",
    "apertium": "Apertium",
    "freedict": "FreeDict",
    "babel_imagenet": "Babel-ImageNet",
    "xm3600": "XM3600",
    "xtd": "XTD-10",
    "moses": "sacremoses",
}
HINT = "A language is a file languages/<code>.toml."

Spellings = dict[str, dict[str, list[str]]]  # spelling -> code of a pack -> what the spelling is to it


def normalize_spelling(text: str) -> str:
    """Reduce a spelling to a key without case, accents and the kind of separator.

    _ and -, kinds of apostrophe, and accents on Latin, Greek and Cyrillic letters do not matter.
    """
    plain = text.strip().replace("_", "-").replace("ʼ", "'").replace("’", "'")
    return "".join(c for c in unicodedata.normalize("NFKD", plain) if not "\u0300" <= c <= "\u036f").casefold()


def collect_spellings() -> Spellings:
    """Collect every spelling that the packs list."""
    return _spellings(dump_adopted())


@lru_cache(maxsize=1)
def _spellings(own: tuple[str, ...]) -> Spellings:
    found: Spellings = defaultdict(lambda: defaultdict(list))
    for pack in load_languages():
        for text, what in _of(pack):
            if what not in found[normalize_spelling(text)][pack.code]:
                found[normalize_spelling(text)][pack.code].append(what)
    return found


def _of(pack: Language) -> list[tuple[str, str]]:
    """Spellings of one pack, and what each is.

    A pack of a second script leaves spellings of the whole language to the first pack.
    """
    second = "-" in pack.code
    schemes = [(code, f"code of {SCHEMES[field]}") for field, code in pack.codes]
    found = [(pack.code, "code"), (pack.cldr, "CLDR locale"), (pack.name, "name"), (pack.own_name, "own name")]
    found += [(alias, "alias") for alias in pack.aliases] + [(code, what) for code, what in schemes if code]
    if not second:
        found.append((pack.iso639_3, "ISO 639-3"))
        found += [(code.partition("_")[0], what) for code, what in schemes if "_" in code and what.endswith("-200")]
    return found


def resolve_language(text: str) -> Language:
    """Load the pack of a language by any of its spellings.

    Args:
        text: A code of any scheme, a name or a tag (`sw`, `swh`, `swh_Latn`, `SW`, `Swahili`, `sw-KE`), or the path of
            a pack of your own (`my/xx.toml`).

    Returns:
        The pack.

    Raises:
        AmbiguousName: Several packs have this spelling.
        UnknownName: No pack has it; the message lists the nearest spellings.
        PackError: The pack at the path is invalid.

    Example:
        >>> resolve_language("swh_Latn").code
        'sw'

    """
    if text.endswith(".toml"):
        return load_own_language(Path(text))
    if text in list_languages():  # the other packs need not be read
        return load_language(text)
    known = collect_spellings()
    exact = next((code for code, what in known.get(normalize_spelling(text), {}).items() if "code" in what), None)
    if exact is not None:
        return load_language(exact)
    code = _only(text, known.get(normalize_spelling(text), {})) or _tag(text, known) or _called(text, known)
    if code is None:
        raise _unknown(text, known)
    return load_language(code)


def _only(text: str, found: dict[str, list[str]]) -> str | None:
    """The one pack of a spelling; None for none.

    Raises:
        AmbiguousName: Several packs have it.

    """
    if len(found) > 1:
        choices = [f"{code} ({load_language(code).name}: {', '.join(what)})" for code, what in sorted(found.items())]
        raise AmbiguousName("language", text, choices, sorted(found))
    return next(iter(found), None)


def _tag(text: str, known: Spellings) -> str | None:
    """Resolve a tag such as `pt-BR`, `zh-TW` or `swh_Latn`.

    The result is the language's pack in the script that the tag names or that its region writes; None where there is no
    such pack.
    """
    subtags = text.strip().replace("_", "-").split("-")
    base = _only(text, known.get(normalize_spelling(subtags[0]), {})) if len(subtags) > 1 else None
    if base is None:
        return None
    root = load_language(base).code.partition("-")[0]
    try:
        tag = langcodes.Language.get("-".join([root, *subtags[1:]]))
    except ValueError:
        return None
    if not tag.is_valid():
        return None
    script = tag.script or (tag.maximize().script if tag.territory else load_language(base).script)
    packs = [code for code in list_languages() if code.partition("-")[0] == root]
    return next((code for code in packs if load_language(code).script == script), None)


def _called(text: str, known: Spellings) -> str | None:
    """Resolve CLDR's name of a language in any language (`Farsi`, `Suaheli`), or a code that BCP 47 has replaced."""
    if "\0" in text:  # which ends a name in langcodes' table, and its look-up in a SystemError
        return None
    try:
        tag = langcodes.find(text) if len(text) > 3 else langcodes.Language.get(text)
    except (LookupError, ValueError):
        return None
    named = str(tag)
    if normalize_spelling(named) == normalize_spelling(text):
        return None
    return _only(text, known.get(normalize_spelling(named), {})) or _tag(named, known)


def _unknown(text: str, known: Spellings) -> UnknownName:
    """Make the error for an unknown spelling: what BCP 47 knows it as, else the nearest spellings."""
    subtags = text.strip().replace("_", "-").split("-")
    base = known.get(normalize_spelling(subtags[0]), {})
    if len(subtags) > 1 and len(base) == 1:
        packs = [
            load_language(code)
            for code in list_languages()
            if code.partition("-")[0] == next(iter(base)).partition("-")[0]
        ]
        return UnknownName("language", text, [f"{pack.code} ({pack.name}, in {pack.script})" for pack in packs], HINT)
    if langcodes.tag_is_valid(text.strip()) and len(subtags[0]) <= 3:
        tag = langcodes.Language.get(text.strip())
        draft = (
            f"It is {tag.display_name()}, which has no pack: 'polyclip languages new {tag.language}' drafts one, "
            "and --lang FILE.toml uses it."
        )
        return UnknownName("language", text, list_languages(), draft)
    near = {f"{code} ({load_language(code).name})" for code in list_languages()}
    return UnknownName(
        "language",
        text,
        {pack.name for pack in load_languages()} | set(list_languages()) if len(text) > 3 else near,
        HINT,
    )
