"""Any spelling of a language to its pack: codes of every scheme, names, tags with a script or a region."""

import unicodedata
from collections import defaultdict
from functools import lru_cache
from pathlib import Path

import langcodes

from polyclip.errors import AmbiguousName, UnknownName
from polyclip.languages.schema import Codes, Language, adopted, all_languages, known_languages, load_language
from polyclip.languages.validate import own_language

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
HINT = "A language is a file languages/<code>.toml; 'polyclip languages' lists them."

Spellings = dict[str, dict[str, list[str]]]  # spelling -> code of a pack -> what the spelling is to it


def key(text: str) -> str:
    """What two spellings share that differ in case, in _ and -, in kinds of apostrophe or in accents on Latin, Greek and Cyrillic letters."""
    plain = text.strip().replace("_", "-").replace("ʼ", "'").replace("’", "'")
    return "".join(c for c in unicodedata.normalize("NFKD", plain) if not "\u0300" <= c <= "\u036f").casefold()


def spellings() -> Spellings:
    """Every spelling that the packs list."""
    return _spellings(adopted())


@lru_cache(maxsize=1)
def _spellings(own: tuple[str, ...]) -> Spellings:
    found: Spellings = defaultdict(lambda: defaultdict(list))
    for pack in all_languages():
        for text, what in _of(pack):
            if what not in found[key(text)][pack.code]:
                found[key(text)][pack.code].append(what)
    return found


def _of(pack: Language) -> list[tuple[str, str]]:
    """Spellings of one pack and what each is. A pack of a second script leaves what means the whole language to the first."""
    second = "-" in pack.code
    schemes = [(getattr(pack.codes, field), f"code of {SCHEMES[field]}") for field in Codes.model_fields]
    found = [(pack.code, "code"), (pack.cldr, "CLDR locale"), (pack.name, "name"), (pack.own_name, "own name")]
    found += [(alias, "alias") for alias in pack.aliases] + [(code, what) for code, what in schemes if code]
    if not second:
        found.append((pack.iso639_3, "ISO 639-3"))
        found += [(code.partition("_")[0], what) for code, what in schemes if "_" in code and what.endswith("-200")]
    return found


def resolve_language(text: str) -> Language:
    """`sw`, `swh`, `swh_Latn`, `SW`, `Swahili`, `sw-KE`, or the path of a pack of one's own: any spelling of a language.

    Raises AmbiguousName for a spelling of several packs, UnknownName with the nearest spellings, PackError for a bad pack of one's own.
    """
    if text.endswith(".toml"):
        return own_language(Path(text))
    if text in known_languages():  # the other packs need not be read
        return load_language(text)
    known = spellings()
    exact = next((code for code, what in known.get(key(text), {}).items() if "code" in what), None)
    if exact is not None:
        return load_language(exact)
    code = _only(text, known.get(key(text), {})) or _tag(text, known) or _called(text, known)
    if code is None:
        raise _unknown(text, known)
    return load_language(code)


def _only(text: str, found: dict[str, list[str]]) -> str | None:
    """The one pack of a spelling; None for none.

    Raises AmbiguousName for several.
    """
    if len(found) > 1:
        choices = [f"{code} ({load_language(code).name}: {', '.join(what)})" for code, what in sorted(found.items())]
        raise AmbiguousName("language", text, choices, sorted(found))
    return next(iter(found), None)


def _tag(text: str, known: Spellings) -> str | None:
    """`pt-BR`, `zh-TW`, `swh_Latn`: the language's pack in the script that the tag names or that its region writes; None where that has no pack."""
    subtags = text.strip().replace("_", "-").split("-")
    base = _only(text, known.get(key(subtags[0]), {})) if len(subtags) > 1 else None
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
    packs = [code for code in known_languages() if code.partition("-")[0] == root]
    return next((code for code in packs if load_language(code).script == script), None)


def _called(text: str, known: Spellings) -> str | None:
    """By what CLDR calls it in any language (`Farsi`, `Suaheli`), or by the code that BCP 47 replaces it with."""
    try:
        tag = langcodes.find(text) if len(text) > 3 else langcodes.Language.get(text)
    except (LookupError, ValueError):
        return None
    named = str(tag)
    if key(named) == key(text):
        return None
    return _only(text, known.get(key(named), {})) or _tag(named, known)


def _unknown(text: str, known: Spellings) -> UnknownName:
    """The error for a spelling of no pack: what it is where BCP 47 knows it, else what is near."""
    subtags = text.strip().replace("_", "-").split("-")
    base = known.get(key(subtags[0]), {})
    if len(subtags) > 1 and len(base) == 1:
        packs = [
            load_language(code)
            for code in known_languages()
            if code.partition("-")[0] == next(iter(base)).partition("-")[0]
        ]
        return UnknownName("language", text, [f"{pack.code} ({pack.name}, in {pack.script})" for pack in packs], HINT)
    if langcodes.tag_is_valid(text.strip()) and len(subtags[0]) <= 3:
        tag = langcodes.Language.get(text.strip())
        draft = f"It is {tag.display_name()}, which has no pack: 'polyclip languages new {tag.language}' drafts one, and --lang FILE.toml uses it."
        return UnknownName("language", text, known_languages(), draft)
    near = {f"{code} ({load_language(code).name})" for code in known_languages()}
    return UnknownName(
        "language",
        text,
        {pack.name for pack in all_languages()} | set(known_languages()) if len(text) > 3 else near,
        HINT,
    )
