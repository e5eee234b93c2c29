"""Whether what a language pack says about other packs, methods and engines exists."""

from pathlib import Path

from polyclip.core.durations import duration
from polyclip.core.registry import names
from polyclip.core.toml import LANGUAGES, Fault, broken, read_pack, validated
from polyclip.errors import PackError, PolyclipError
from polyclip.languages.schema import Advice, Language, adopt, all_languages, known_languages

ROUTES = ("nllb", "m2m100", "madlad", "opus-mt", "apertium", "lexicon", "none")  # what [recipe] may name as translation


def references(pack: Language) -> list[Fault]:
    """What the pack names and nobody has."""
    return [*_advice(pack), *_clashes(pack)]


def _advice(pack: Language) -> list[Fault]:
    recipe: Advice = pack.recipe
    faults = []
    methods = [*names("methods"), "auto"]
    if recipe.method not in methods:
        faults.append(Fault("recipe.method", repr(recipe.method), f"expected a method out of {', '.join(methods)}"))
    if recipe.translation not in ROUTES:
        faults.append(
            Fault("recipe.translation", repr(recipe.translation), f"expected an engine out of {', '.join(ROUTES)}")
        )
    lost = [code for code in recipe.borrow if code == pack.code or code not in known_languages()]
    if lost:
        faults.append(Fault("recipe.borrow", ", ".join(map(repr, lost)), "expected codes of other packs"))
    try:
        duration(recipe.budget)
    except PolyclipError:
        faults.append(Fault("recipe.budget", repr(recipe.budget), "expected a duration such as 5m"))
    return faults


def _clashes(pack: Language) -> list[Fault]:
    """Codes that other packs have: a code or an alias means one language and no other."""
    faults = []
    for other in all_languages():
        taken = {pack.code, *pack.aliases} & {other.code, *other.aliases}
        if taken and other.code != pack.code:
            expected = f"expected codes that no other pack has; they are those of {other.code} ({other.name})"
            faults.append(Fault("code" if pack.code in taken else "aliases", ", ".join(sorted(taken)), expected))
    return faults


def faults_of(path: Path) -> list[Fault]:
    """Everything wrong with one language pack, down to a file that is missing or not TOML."""
    try:
        pack, faults = validated(Language, path)
    except PackError as error:
        return [Fault("the file", str(error).removesuffix("."), "expected a TOML file in UTF-8")]
    if pack is None:
        return faults
    if path.resolve().parent == LANGUAGES.resolve() and path.stem != pack.code:
        faults = [Fault("code", repr(pack.code), f"expected the file's name, {path.stem}")]
    return faults + references(pack)


def own_language(path: Path) -> Language:
    """A pack of one's own; from then on its code means this file.

    Raises PackError for a file that is missing or breaks the schema, or whose references lead nowhere.
    """
    pack = read_pack(Language, path)
    faults = references(pack)
    if faults:
        raise broken(path, faults)
    adopt(pack, path)
    return pack
