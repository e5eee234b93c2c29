"""Schema of languages/<code>.toml: facts about a language, each with its source, and a recipe for aligning it."""

import re
from collections.abc import Iterable
from datetime import date
from functools import cache, lru_cache
from pathlib import Path
from typing import Literal

import langcodes
from pydantic import Field, field_validator, model_validator

from polyclip.core.toml import LANGUAGES, Pack, PackValueError, read_pack
from polyclip.errors import UnknownName

STEPS = (
    "nfc",
    "arabic",
    "persian",
    "ethiopic",
    "unspaced",
    "joiners",
    "turkic-case",
    "spaces",
    "moses",
)  # of polyclip/languages/normalize.py
RIGHT_TO_LEFT = {"Arab", "Hebr", "Thaa", "Syrc", "Nkoo", "Adlm", "Rohg"}
CODE = re.compile(r"^[a-z]{2,3}(-[A-Z][a-z]{3})?$")
NEUTRAL = "{}"  # the prompt that says nothing but the name


class Source(Pack):
    """Where the named fields come from, and the day a person or a script compared them."""

    fields: list[str] = Field(min_length=1)  # "codes" stands for all of [codes], "codes.nllb" for one
    url: str = Field(pattern=r"^https?://")
    checked: date


class Codes(Pack):
    """Codes of the language in other schemes; empty where a scheme does not have it."""

    flores: str = ""  # Flores-200: swh_Latn
    nllb: str = ""  # NLLB-200's language token
    m2m100: str = ""  # M2M-100's code: sw
    madlad: str = ""  # MADLAD-400's target token without <2 >: sw
    opus_mt: str = ""  # the part of Helsinki-NLP/opus-mt-en-XX
    apertium: str = ""  # Apertium's code, two letters or three, as its pairs spell it
    freedict: str = ""  # FreeDict's three letters
    babel_imagenet: str = ""  # Babel-ImageNet's key: SW
    xm3600: str = ""  # the name of Crossmodal-3600's captions: sw
    xtd: str = ""  # XTD-10's: jp; XTD-200 has Flores' codes
    moses: str = ""  # sacremoses' language code


class Advice(Pack):
    """[recipe]: how this language is best aligned, and its known pitfalls."""

    method: str = "head-mlp"
    budget: str = "5m"
    borrow: list[str] = []  # packs of related languages trained beside it
    translation: str = (
        "none"  # the engine of `polyclip translate`: nllb, m2m100, madlad, opus-mt, apertium, lexicon, none
    )
    shots: int = Field(default=0, ge=0)  # named images from which on few-shot recall levels off; 0: not measured
    traps: list[str] = []


class Language(Pack):
    """A language pack, languages/<code>.toml: everything that depends on a language."""

    code: str = Field(pattern=CODE.pattern)  # BCP 47, as XM3600 spells it
    iso639_3: str = Field(pattern=r"^[a-z]{3}$")
    name: str = Field(min_length=1)  # in English
    own_name: str = Field(min_length=1)
    script: str = Field(pattern=r"^[A-Z][a-z]{3}$")  # ISO 15924
    direction: Literal["ltr", "rtl"]
    aliases: list[str] = []  # other codes that mean this language and no other
    cldr: str  # the locale whose captions corpus `emoji` uses
    xm3600: bool  # one of the 36 languages of Crossmodal-3600
    in_xlmr: bool  # among the languages XLM-R was trained on
    in_nllb: bool = False  # among those of NLLB-200
    family: list[
        str
    ] = []  # ISO 639-5's names from the widest to the narrowest group: Niger-Kordofanian, Atlantic-Congo, Bantu
    speakers: int | None = Field(
        default=None, ge=0
    )  # people who use it, as first or further language; None where no source says
    resource_class: int | None = Field(
        default=None, ge=0, le=5
    )  # Joshi et al. 2020, from 0 (left behind) to 5 (winners)
    normalise: list[str] = ["nfc"]  # steps of polyclip/languages/normalize.py, in this order
    prompts: list[str] = Field(default=[NEUTRAL], min_length=1)  # of zero-shot classification, each with one {}
    codes: Codes = Codes()
    recipe: Advice = Advice()
    sources: list[Source] = Field(min_length=1)

    @field_validator("prompts")
    @classmethod
    def _one_gap(cls, prompts: list[str]) -> list[str]:
        for prompt in prompts:
            if prompt.count(NEUTRAL) != 1:
                raise PackValueError("prompts", repr(prompt), "expected exactly one {} in each prompt")
        return prompts

    @field_validator("normalise")
    @classmethod
    def _known_steps(cls, steps: list[str]) -> list[str]:
        for step in steps:
            if step not in STEPS:
                raise PackValueError("normalise", repr(step), f"expected steps out of {', '.join(STEPS)}")
        return steps

    @field_validator("code", "iso639_3")
    @classmethod
    def _registered(cls, tag: str) -> str:
        if not langcodes.tag_is_valid(tag):
            raise ValueError("expected a language that is registered in ISO 639 and BCP 47")
        return tag

    @field_validator("script")
    @classmethod
    def _registered_script(cls, script: str) -> str:
        if not langcodes.Language.make(script=script).is_valid():
            raise ValueError("expected a script that is registered in ISO 15924")
        return script

    @model_validator(mode="after")
    def _scripts_agree(self) -> "Language":
        subtag = self.code.partition("-")[2]
        if subtag and subtag != self.script:
            raise PackValueError("script", repr(self.script), f"expected the script that the code names, {subtag}")
        expected = "rtl" if self.script in RIGHT_TO_LEFT else "ltr"
        if self.direction != expected:
            raise PackValueError(
                "direction", repr(self.direction), f"expected {expected}, in which {self.script} is written"
            )
        return self

    @model_validator(mode="after")
    def _every_fact_has_a_source(self) -> "Language":
        known = {
            *type(self).model_fields,
            *(f"codes.{name}" for name in Codes.model_fields),
            *(f"recipe.{name}" for name in Advice.model_fields),
        }
        covered = {name for source in self.sources for name in source.fields}
        unknown = sorted(covered - known)
        if unknown:
            raise PackValueError("sources", ", ".join(unknown), "expected fields that a pack has")
        bare = [name for name in self.list_facts() if name not in covered and name.partition(".")[0] not in covered]
        if bare:
            raise PackValueError("sources", "none", f"expected a [[sources]] entry for {', '.join(bare)}")
        return self

    def list_facts(self) -> list[str]:
        """List the fields that state a fact and so need a source; advice and normalization do not."""
        always = ["iso639_3", "name", "own_name", "script", "direction", "cldr", "xm3600", "in_xlmr"]
        filled = [name for name, value in (("aliases", self.aliases), ("family", self.family)) if value]
        stated = [
            name
            for name, value in dict(self).items()
            if name in ("in_nllb", "speakers", "resource_class") and name in self.model_fields_set and value is not None
        ]
        prompts = ["prompts"] if self.prompts != [NEUTRAL] else []
        codes = [f"codes.{name}" for name, code in self.codes if code]
        return [*always, *filled, *stated, *prompts, *codes, *(["recipe.traps"] if self.recipe.traps else [])]

    @property
    def is_low_resource(self) -> bool:
        """Class 2 or lower of Joshi et al. 2020; without a class, absent from XLM-R's training data."""
        return self.resource_class <= 2 if self.resource_class is not None else not self.in_xlmr


_own: dict[str, Language] = {}  # packs read from a path in this process, by code; they take precedence
_paths: dict[str, Path] = {}  # their paths


def list_languages() -> list[str]:
    """List the codes of all language packs, in alphabetical order."""
    return sorted(_packaged_codes(LANGUAGES.stat().st_mtime_ns) | set(_own))


@lru_cache(maxsize=1)
def _packaged_codes(changed: int) -> frozenset[str]:
    """Codes of the packs in the folder, read again when it has changed."""
    return frozenset(path.stem for path in LANGUAGES.glob("*.toml"))


def load_language(code: str) -> Language:
    """Load the pack languages/<code>.toml, or the pack of that code that was read from a path before.

    Args:
        code: The code of a pack, such as "sw". `resolve_language` takes any spelling.

    Returns:
        The pack.

    Raises:
        UnknownName: There is no such pack; the message lists the nearest codes.
        PackError: The pack is invalid.

    """
    if code in _own:
        return _own[code]
    if not CODE.fullmatch(code) or not (LANGUAGES / f"{code}.toml").is_file():
        raise UnknownName("language pack", code, list_languages(), "A language is a file languages/<code>.toml.")
    return _packaged(code)


@cache
def _packaged(code: str) -> Language:
    return read_pack(Language, LANGUAGES / f"{code}.toml")


def adopt(pack: Language, path: Path) -> None:
    """Use `pack`, read from `path`, for its code from now on in this process."""
    _own[pack.code], _paths[pack.code] = pack, path


def get_lang_option(code: str) -> str:
    """The value of --lang for a pack: its code, or the path that it was read from."""
    return str(_paths.get(code, code))


def get_pack_file(code: str) -> str:
    """The file of a pack, for messages."""
    return str(_paths.get(code, f"languages/{code}.toml"))


def dump_adopted() -> tuple[str, ...]:
    """The packs read from a path in this process, as JSON; `list_languages` depends on them too."""
    return tuple(pack.model_dump_json() for _, pack in sorted(_own.items()))


def load_languages() -> list[Language]:
    """Load every language pack, by code."""
    return [load_language(code) for code in list_languages()]


NAMED_GROUPS = ("all", "low-resource", "xm3600")


def select_group(name: str) -> list[Language]:
    """Select the packs of a group, by code.

    Args:
        name: A family or branch (`bantu`), `low-resource`, `xm3600` or `all`; case does not matter.

    Returns:
        Packs in alphabetical order of their codes.

    Raises:
        UnknownName: There is no such group; the message lists the groups.

    """
    wanted, packs = name.strip().casefold(), load_languages()
    if wanted == "all":
        return packs
    if wanted == "low-resource":
        return [pack for pack in packs if pack.is_low_resource]
    if wanted == "xm3600":
        return [pack for pack in packs if pack.xm3600]
    found = [pack for pack in packs if wanted in {branch.casefold() for branch in pack.family}]
    if not found:
        raise UnknownName(
            "group of languages", name, [*NAMED_GROUPS, *list_families(packs)], "Families are named as in the packs."
        )
    return found


def list_families(packs: Iterable[Language]) -> list[str]:
    """List every family and branch that a pack names."""
    return sorted({branch for pack in packs for branch in pack.family})
