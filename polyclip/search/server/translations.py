"""The page's words in many languages: one TOML file per language in static/translations, chosen per request."""

import string
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from starlette.requests import Request

from polyclip.core.toml import Pack, validate_pack
from polyclip.errors import PackError
from polyclip.languages.schema import Language, load_language

FOLDER = Path(__file__).parent / "static" / "translations"
ORIGINAL = "en"  # what the others are translated from, and what visitors of other languages get
MACHINE = "machine"
ALSO = {"nn": "no", "yue": "zh-Hant"}  # readers of a language without a translation who read another one with ease
ALSO |= {f"zh-{region}": "zh-Hant" for region in ("tw", "hk", "mo")}  # where traditional characters are written
LONGEST = 1000  # characters read of an Accept-Language header
NARROW = "\N{NARROW NO-BREAK SPACE}"  # between thousands: a comma or point would be a decimal sign to many


class TranslationFile(Pack):
    """A translation file; `made_by` is "machine" or names the people who wrote or checked it."""

    code: str
    made_by: str
    messages: dict[str, str]


@dataclass(frozen=True)
class Interface:
    """The page in one language; `chosen` is whether the visitor chose it on the page."""

    translation: TranslationFile
    language: Language
    chosen: bool = False

    @property
    def code(self) -> str:
        """Code of the language, as in `?ui=` and `<html lang>`."""
        return self.translation.code

    @property
    def direction(self) -> str:
        """Text direction of the whole page, `ltr` or `rtl`."""
        return self.language.direction

    @property
    def by_machine(self) -> bool:
        """Whether nobody has checked the words yet."""
        return self.translation.made_by == MACHINE

    @property
    def parameter(self) -> dict[str, str]:
        """What a link has to carry so that the next page is in the same language."""
        return {"ui": self.code} if self.chosen else {}

    def __call__(self, key: str, **facts: object) -> str:
        """Return a message with its placeholders filled in."""
        return self.translation.messages[key].format(**facts)

    def format_count(self, number: int) -> str:
        """Write a whole number with its thousands apart."""
        return f"{number:,}" if self.code == ORIGINAL else f"{number:,}".replace(",", NARROW)


def read_translation(path: Path, original: Mapping[str, str]) -> TranslationFile:
    """Read a translation file and compare it with the original's messages.

    Args:
        path: The TOML file.
        original: Messages of the original; empty for the original itself.

    Returns:
        The translation.

    Raises:
        PackError: The file is not a translation, or a message is missing, unknown or has other placeholders.

    """
    found, faults = validate_pack(TranslationFile, path)
    if found is None:
        raise PackError(f"{path} is no translation: {'; '.join(map(str, faults))}.")
    own = found.messages
    if original and (missing := [key for key in original if key not in own]):
        raise PackError(f"{path} lacks messages: {', '.join(missing)}; translate those of {ORIGINAL}.toml.")
    if original and (unknown := [key for key in own if key not in original]):
        raise PackError(f"{path} has messages that the page does not know: {', '.join(unknown)}; remove them.")
    for key, text in own.items():
        here, there = list_placeholders(path, key, text), list_placeholders(path, key, original.get(key, text))
        if here != there:
            raise PackError(
                f"{path}: {key} has the placeholders {', '.join(sorted(here)) or 'none'}; expected "
                f"{', '.join(sorted(there)) or 'none'}, in braces as in {ORIGINAL}.toml."
            )
    return found


def list_placeholders(path: Path, key: str, text: str) -> set[str]:
    """Return the names in braces of a message."""
    try:
        return {f"{{{name}}}" for _, name, _, _ in string.Formatter().parse(text) if name is not None}
    except ValueError as error:
        raise PackError(f"{path}: {key} has a brace without its partner: {text!r}.") from error


@cache
def load_interfaces() -> dict[str, Interface]:
    """Return the page in all its languages by code, sorted by what the languages call themselves.

    Raises:
        PackError: A translation file has a fault.

    """
    original = read_translation(FOLDER / f"{ORIGINAL}.toml", {}).messages
    found = [
        Interface(read_translation(path, original), load_language(path.stem)) for path in sorted(FOLDER.glob("*.toml"))
    ]
    return {each.code: each for each in sorted(found, key=lambda each: each.language.own_name.casefold())}


@cache
def map_tags() -> dict[str, str]:
    """Map every lower-case language tag that names a translation to its code."""
    known = load_interfaces()
    tags = {alias.lower(): each.code for each in known.values() for alias in each.language.aliases}
    return tags | ALSO | {code.lower(): code for code in known}


def match_tag(tag: str) -> str:
    """Return the translation for a language tag, less and less specific (`sw-KE`, `sw`); "" where there is none."""
    parts = tag.strip().lower().replace("_", "-").split("-")
    tries = ("-".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((map_tags()[each] for each in tries if each in map_tags()), "")


def parse_accept_language(header: str) -> list[str]:
    """Return the tags of an Accept-Language header, the most wanted first.

    Args:
        header: Such as `sw-KE, en;q=0.5`; parts that are not understood are left out.

    Returns:
        Tags in order of their weight, those of equal weight as given, without those of weight 0.

    """
    wanted = []
    for part in header[:LONGEST].split(","):
        tag, *options = (each.strip() for each in part.split(";"))
        weight = next((option[2:] for option in options if option[:2].lower() == "q="), "1")
        if tag and tag.replace("-", "").isalnum() and weight.replace(".", "", 1).isdecimal() and float(weight) > 0:
            wanted.append((-float(weight), tag))
    return [tag for _, tag in sorted(wanted, key=lambda each: each[0])]


def choose_interface(request: Request) -> Interface:
    """Return the page in the language of `?ui=`, else in the first one of Accept-Language that there is."""
    known = load_interfaces()
    if own := match_tag(request.query_params.get("ui", "")[:LONGEST]):
        return Interface(known[own].translation, known[own].language, chosen=True)
    for tag in parse_accept_language(request.headers.get("accept-language", "")):
        if code := match_tag(tag):
            return known[code]
    return known[ORIGINAL]
