"""Language identification for queries: the script restricts the candidates, py3langid ranks them."""

from collections.abc import Collection
from dataclasses import dataclass
from functools import cache

from polyclip.errors import PolyclipError
from polyclip.languages.identify import get_identifier_code, list_labels, load_identifier
from polyclip.languages.normalize import is_in_script
from polyclip.languages.resolve import resolve_language
from polyclip.languages.schema import Language, load_language, load_languages
from polyclip.search.server.errors import RequestError

# A query is short, so who is likely to ask counts too: a model's own languages, and the larger of two. Chosen on 100
# names from the starter
# corpus for each of ten languages, with a model of Swahili and English: told rightly sw 86 (66 without), en 92 (45), hi
# 81 (54), zh 96 (88),
# fr 64 (70); of those shown as sure none was wrong.
TRAINED = 5.0  # times as likely
SPEAKERS = 0.25  # the power of their number
FEWEST = 1e5  # speakers of a language whose pack does not say
UNKNOWN = 0.02  # likelihood of a language that py3langid does not know
SURE = 0.8  # share of the likelihood from which on a guess is shown without a question mark
SHORTEST = 3  # letters; fewer say too little to tell languages of one script apart


@dataclass(frozen=True, kw_only=True)
class DetectedLanguage:
    """The language of a query; `code` is empty where none was found."""

    code: str = ""
    name: str = ""  # in English
    own_name: str = ""
    direction: str = "auto"  # ltr or rtl; auto where there is no language
    chosen: bool = False  # by the user
    sure: bool = False

    @property
    def tag(self) -> str:
        """BCP 47 tag for the attribute lang: `und` where there is no language."""
        return self.code or "und"


def detect_language(text: str, lang: str, trained: Collection[str]) -> DetectedLanguage:
    """Return the language named by `lang`, by any code or name; the likeliest one where `lang` is empty.

    Args:
        text: The query.
        lang: Code or name chosen by the user; "" to detect.
        trained: Codes of the model's languages, which are preferred.

    Returns:
        The language and how certain it is.

    Raises:
        RequestError: (422) The language has no pack.

    """
    return (
        describe_pack(resolve_request_language(lang), chosen=True, sure=True) if lang else guess_language(text, trained)
    )


def resolve_request_language(lang: str) -> Language:
    """Return the pack of a code or name; file paths are refused, since a request must not make the server read
    files.
    """
    try:
        if lang.endswith(".toml") or len(lang) > 80:
            raise RequestError(
                422,
                "The language is not a code or name; expected one such as sw or Kiswahili, or nothing to have it "
                "detected.",
            )
        return resolve_language(lang)
    except PolyclipError as error:
        raise RequestError(422, str(error)) from error


def guess_language(text: str, trained: Collection[str]) -> DetectedLanguage:
    """Return the likeliest language with a pack, preferring trained ones; none without letters or for a script without
    a pack.
    """
    scripts = find_scripts(text)
    possible = [pack for pack in list_packs() if pack.script in scripts]
    if not possible:
        return DetectedLanguage()
    likely = dict(load_identifier().rank(text))
    weights = {pack.code: compute_weight(pack, likely, pack.code in trained) for pack in possible}
    best = max(possible, key=lambda pack: weights[pack.code])
    share = weights[best.code] / sum(weights.values())
    enough = len(possible) == 1 or (share >= SURE and sum(map(str.isalpha, text)) >= SHORTEST)
    return describe_pack(best, sure=enough)


def compute_weight(pack: Language, likely: dict[str, float], trained: bool) -> float:
    """Return the likelihood of a language, up to a constant factor."""
    label = get_identifier_code(pack)
    known = likely.get(label, 0.0) if label in list_labels() else UNKNOWN
    return (known * (TRAINED if trained else 1.0) + 1e-12) * float(pack.speakers or FEWEST) ** SPEAKERS


def find_scripts(text: str) -> set[str]:
    """Return the pack scripts in which most letters of the text are: of 漢字 both Hans and Jpan."""
    return {script for script in dict.fromkeys(pack.script for pack in list_packs()) if is_in_script(text, script)}


@cache
def list_packs() -> tuple[Language, ...]:
    """Load all packs, once: `load_languages` looks for changed files each time."""
    return tuple(load_languages())


def describe_pack(pack: Language, *, chosen: bool = False, sure: bool = False) -> DetectedLanguage:
    """Return what the page shows about a language."""
    return DetectedLanguage(
        code=pack.code, name=pack.name, own_name=pack.own_name, direction=pack.direction, chosen=chosen, sure=sure
    )


def build_hint(language: DetectedLanguage, trained: Collection[str]) -> str:
    """Return a warning where the model was not trained on the query's language, else ""."""
    own = ", ".join(load_language(code).name for code in trained)
    if language.code in trained or not trained:
        return ""
    if not language.code:
        return f"polyclip has no pack for this language; results are shown anyway. The model was trained on {own}."
    sure = language.chosen or language.sure
    said = f"{language.name} is" if sure else f"This may be {language.name},"
    return f"{said} unseen by this model (zero-shot), so expect lower accuracy. It was trained on {own}."
