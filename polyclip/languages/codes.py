"""How other projects spell a language, by the lists of languages/standards/schemes.toml."""

from datetime import date
from functools import cache
from typing import NamedTuple

from polyclip.core.toml import LANGUAGES, read_table
from polyclip.languages.schema import Codes, Source

STANDARDS = LANGUAGES / "standards" / "schemes.toml"
FLORES_SCRIPT = {"Kore": "Hang"}  # ISO 15924 has a name for Korean's mixture, Flores for its letters


class Scheme(NamedTuple):
    """One list of codes and where it is."""

    codes: frozenset[str]
    url: str
    checked: date


class Spoken(NamedTuple):
    """What is needed to look a language up."""

    code: str  # of the pack
    iso639_3: str
    aliases: tuple[str, ...]
    script: str

    @property
    def second_script(self) -> bool:
        """Whether the pack's code names a script; then codes without one are those of the first pack."""
        return "-" in self.code

    @property
    def spellings(self) -> list[str]:
        """From the likeliest on."""
        return [self.code.partition("-")[0], self.iso639_3, *self.aliases]


@cache
def schemes() -> dict[str, Scheme]:
    """The lists by name.

    Raises PackError for a file that is not TOML.
    """
    found = {name: table for name, table in read_table(STANDARDS).items() if name != "special"}
    return {
        name: Scheme(frozenset(table["codes"].split()), table["url"], table["checked"]) for name, table in found.items()
    }


@cache
def special() -> dict[str, dict[str, str]]:
    """Codes that do not follow from ISO 639: scheme -> pack -> code."""
    return dict(read_table(STANDARDS)["special"])


def codes_of(spoken: Spoken) -> dict[str, str]:
    """[codes] of a pack, without empty ones."""
    looked_up = {name: special().get(name, {}).get(spoken.code) or _found(name, spoken) for name in Codes.model_fields}
    return {name: code for name, code in looked_up.items() if code}


def _found(name: str, spoken: Spoken) -> str:
    codes = schemes()[name].codes
    if name in ("flores", "nllb"):
        wanted = [f"{spelling}_{FLORES_SCRIPT.get(spoken.script, spoken.script)}" for spelling in spoken.spellings]
    elif spoken.second_script:
        wanted = [spoken.code.replace("-", "_")]
    elif name == "babel_imagenet":
        wanted = [spelling.upper() for spelling in spoken.spellings]
    else:
        wanted = [spoken.code, *spoken.spellings]
    return next((code for code in wanted if code in codes), "")


def in_xlmr(code: str) -> bool:
    """Whether XLM-R was trained on the language in this script."""
    return code in schemes()["xlmr"].codes


def in_nllb(spoken: Spoken) -> bool:
    """Whether NLLB-200 knows the language itself, not merely a sister."""
    return bool(_found("nllb", spoken))


def sources(fields: list[str]) -> list[Source]:
    """Where the codes and memberships among `fields` come from."""
    found = []
    for name, scheme in schemes().items():
        own = [field for field in fields if field in (f"codes.{name}", name if name == "xm3600" else f"in_{name}")]
        if own:
            found.append(Source(fields=own, url=scheme.url, checked=scheme.checked))
    return found
