"""Validation of what a language pack says about other packs, methods and engines."""

from pathlib import Path

from polyclip.core.durations import parse_duration
from polyclip.core.registry import list_names
from polyclip.core.toml import LANGUAGES, Fault, make_pack_error, read_pack, validate_pack
from polyclip.errors import PackError, PolyclipError
from polyclip.languages.schema import Advice, Language, adopt, list_languages, load_languages

ROUTES = ("nllb", "m2m100", "madlad", "opus-mt", "apertium", "lexicon", "none")  # what [recipe] may name as translation


def check_references(pack: Language) -> list[Fault]:
    """List what a pack names and nobody has: methods, engines, languages; and codes that other packs have."""
    return [*_advice(pack), *_clashes(pack)]


def _advice(pack: Language) -> list[Fault]:
    recipe: Advice = pack.recipe
    faults = []
    methods = [*list_names("methods"), "auto"]
    if recipe.method not in methods:
        faults.append(Fault("recipe.method", repr(recipe.method), f"expected a method out of {', '.join(methods)}"))
    if recipe.translation not in ROUTES:
        faults.append(
            Fault("recipe.translation", repr(recipe.translation), f"expected an engine out of {', '.join(ROUTES)}")
        )
    lost = [code for code in recipe.borrow if code == pack.code or code not in list_languages()]
    if lost:
        faults.append(Fault("recipe.borrow", ", ".join(map(repr, lost)), "expected codes of other packs"))
    try:
        parse_duration(recipe.budget)
    except PolyclipError:
        faults.append(Fault("recipe.budget", repr(recipe.budget), "expected a duration such as 5m"))
    return faults


def _clashes(pack: Language) -> list[Fault]:
    """List codes that other packs have: a code or an alias means exactly one language."""
    faults = []
    for other in load_languages():
        taken = {pack.code, *pack.aliases} & {other.code, *other.aliases}
        if taken and other.code != pack.code:
            expected = f"expected codes that no other pack has; they are those of {other.code} ({other.name})"
            faults.append(Fault("code" if pack.code in taken else "aliases", ", ".join(sorted(taken)), expected))
    return faults


def find_faults(path: Path) -> list[Fault]:
    """Find every fault of a language pack, including a file that is missing or not TOML.

    Args:
        path: The pack's file.

    Returns:
        The faults; empty for a valid pack.

    """
    try:
        pack, faults = validate_pack(Language, path)
    except PackError as error:
        return [Fault("the file", str(error).removesuffix("."), "expected a TOML file in UTF-8")]
    if pack is None:
        return faults
    if path.resolve().parent == LANGUAGES.resolve() and path.stem != pack.code:
        faults = [Fault("code", repr(pack.code), f"expected the file's name, {path.stem}")]
    return faults + check_references(pack)


def load_own_language(path: Path) -> Language:
    """Load a pack of your own from a path, and use it for its code from now on in this process.

    Args:
        path: The pack's file.

    Returns:
        The pack.

    Raises:
        PackError: The file is missing, breaks the schema, or its references lead nowhere.

    """
    pack = read_pack(Language, path)
    faults = check_references(pack)
    if faults:
        raise make_pack_error(path, faults)
    adopt(pack, path)
    return pack
