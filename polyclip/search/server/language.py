"""In which language a query is written: the script decides which languages it can be, py3langid which of them it is."""

from collections.abc import Collection
from dataclasses import dataclass
from functools import cache

from polyclip.errors import PolyclipError
from polyclip.languages.identify import identified, identifier, labels
from polyclip.languages.normalize import written_in
from polyclip.languages.resolve import resolve_language
from polyclip.languages.schema import Language, all_languages, load_language
from polyclip.search.server.errors import Refused

# A query is short, so who is likely to ask counts too: a model's own languages, and the larger of two. Chosen on 100 names from the starter
# corpus for each of ten languages, with a model of Swahili and English: told rightly sw 86 (66 without), en 92 (45), hi 81 (54), zh 96 (88),
# fr 64 (70); of those shown as sure none was wrong.
TRAINED = 5.0  # times as likely
SPEAKERS = 0.25  # the power of their number
FEWEST = 1e5  # speakers of a language whose pack does not say
UNKNOWN = 0.02  # likelihood of a language that py3langid does not know
SURE = 0.8  # share of the likelihood from which on a guess is shown without a question mark
SHORTEST = 3  # letters; fewer say too little to tell languages of one script apart


@dataclass(frozen=True, kw_only=True)
class Spoken:
    """The language that a query is taken to be in; `code` is empty where none was found."""

    code: str = ""
    name: str = ""  # in English
    own_name: str = ""
    direction: str = "auto"  # ltr or rtl; auto where there is no language
    chosen: bool = False  # by the person who asked
    sure: bool = False

    @property
    def tag(self) -> str:
        """BCP 47, for the attribute lang: `und` where there is none."""
        return self.code or "und"


def spoken(text: str, lang: str, trained: Collection[str]) -> Spoken:
    """The language named by `lang`, by any of its codes or names; the likeliest one where it is empty.

    Raises Refused (422) for a language without a pack.
    """
    return of_pack(named(lang), chosen=True, sure=True) if lang else guess(text, trained)


def named(lang: str) -> Language:
    """The pack of a code or name. A file's path is none here: a request must not make the server read files."""
    try:
        if lang.endswith(".toml") or len(lang) > 80:
            raise Refused(
                422,
                "The language is no code or name, expected one such as sw or Kiswahili; leave it out to have it detected.",
            )
        return resolve_language(lang)
    except PolyclipError as error:
        raise Refused(422, str(error)) from error


def guess(text: str, trained: Collection[str]) -> Spoken:
    """The likeliest language with a pack, those in `trained` before others; none for a script without a pack, or without letters."""
    scripts = scripts_of(text)
    possible = [pack for pack in all_languages() if pack.script in scripts]
    if not possible:
        return Spoken()
    likely = dict(identifier().rank(text))
    weights = {pack.code: weight(pack, likely, pack.code in trained) for pack in possible}
    best = max(possible, key=lambda pack: weights[pack.code])
    share = weights[best.code] / sum(weights.values())
    enough = len(possible) == 1 or (share >= SURE and sum(map(str.isalpha, text)) >= SHORTEST)
    return of_pack(best, sure=enough)


def weight(pack: Language, likely: dict[str, float], trained: bool) -> float:
    """How likely the language is, up to a constant factor."""
    label = identified(pack)
    known = likely.get(label, 0.0) if label in labels() else UNKNOWN
    return (known * (TRAINED if trained else 1.0) + 1e-12) * float(pack.speakers or FEWEST) ** SPEAKERS


def scripts_of(text: str) -> set[str]:
    """Scripts of packs in which most letters of the text are: of 漢字 both Hans and Jpan."""
    return {script for script, code in one_of_each().items() if written_in(text, [code])}


@cache
def one_of_each() -> dict[str, str]:
    """For every script of a pack the code of a language written in it."""
    return {pack.script: pack.code for pack in all_languages()}


def of_pack(pack: Language, *, chosen: bool = False, sure: bool = False) -> Spoken:
    """What the page says of a language."""
    return Spoken(
        code=pack.code, name=pack.name, own_name=pack.own_name, direction=pack.direction, chosen=chosen, sure=sure
    )


def hint(language: Spoken, trained: Collection[str]) -> str:
    """What to expect of a model for a query in this language; empty where it was trained on it."""
    own = ", ".join(load_language(code).name for code in trained)
    if language.code in trained or not trained:
        return ""
    if not language.code:
        return f"Not in a language that polyclip has a pack for; answered all the same. The model was trained on {own}."
    sure = language.chosen or language.sure
    said = f"{language.name} is" if sure else f"This may be {language.name},"
    return f"{said} a language this model was never trained on, so expect less. It was trained on {own}."
