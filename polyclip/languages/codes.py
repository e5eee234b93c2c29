"""How other projects spell a language, from the lists in languages/standards/schemes.toml."""

from datetime import date
from functools import cache
from typing import NamedTuple

from polyclip.core.toml import LANGUAGES, read_table
from polyclip.languages.schema import Codes, Source

STANDARDS = LANGUAGES / "standards" / "schemes.toml"
FLORES_SCRIPT = {"Kore": "Hang"}  # ISO 15924 has a name for Korean's mixture, Flores for its letters


class Scheme(NamedTuple):
    """One project's list of language codes and its source."""

    codes: frozenset[str]
    url: str
    checked: date


class LanguageKey(NamedTuple):
    """What is needed to look a language up in the schemes."""

    code: str  # of the pack
    iso639_3: str
    aliases: tuple[str, ...]
    script: str

    @property
    def is_second_script(self) -> bool:
        """Whether the pack's code names a script; codes without one then belong to the language's first pack."""
        return "-" in self.code

    @property
    def spellings(self) -> list[str]:
        """Codes of the language, the most likely first."""
        return [self.code.partition("-")[0], self.iso639_3, *self.aliases]


@cache
def load_schemes() -> dict[str, Scheme]:
    """Load the lists of codes by name of the scheme.

    Raises:
        PackError: schemes.toml is not TOML.

    """
    found = {name: table for name, table in read_table(STANDARDS).items() if name != "special"}
    return {
        name: Scheme(frozenset(table["codes"].split()), table["url"], table["checked"]) for name, table in found.items()
    }


@cache
def load_special_codes() -> dict[str, dict[str, str]]:
    """Load the codes that do not follow from ISO 639: scheme -> pack -> code."""
    return dict(read_table(STANDARDS)["special"])


def find_codes(spoken: LanguageKey) -> dict[str, str]:
    """Find [codes] of a pack, without empty ones."""
    looked_up = {
        name: load_special_codes().get(name, {}).get(spoken.code) or _found(name, spoken) for name in Codes.model_fields
    }
    return {name: code for name, code in looked_up.items() if code}


def _found(name: str, spoken: LanguageKey) -> str:
    codes = load_schemes()[name].codes
    if name in ("flores", "nllb"):
        wanted = [f"{spelling}_{FLORES_SCRIPT.get(spoken.script, spoken.script)}" for spelling in spoken.spellings]
    elif spoken.is_second_script:
        wanted = [spoken.code.replace("-", "_")]
    elif name == "babel_imagenet":
        wanted = [spelling.upper() for spelling in spoken.spellings]
    else:
        wanted = [spoken.code, *spoken.spellings]
    return next((code for code in wanted if code in codes), "")


def is_in_xlmr(code: str) -> bool:
    """Whether XLM-R was trained on the language in this script."""
    return code in load_schemes()["xlmr"].codes


def is_in_nllb(spoken: LanguageKey) -> bool:
    """Whether NLLB-200 has the language itself, not only a related one."""
    return bool(_found("nllb", spoken))


def list_sources(fields: list[str]) -> list[Source]:
    """List the sources of the codes and memberships among `fields`."""
    found = []
    for name, scheme in load_schemes().items():
        own = [field for field in fields if field in (f"codes.{name}", name if name == "xm3600" else f"in_{name}")]
        if own:
            found.append(Source(fields=own, url=scheme.url, checked=scheme.checked))
    return found
