"""Language and corpus packs: facts about the world as validated TOML, each with its source; and the resolver of language codes."""

import tomllib
from datetime import date
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from polyclip.errors import PackError, UnknownName
from polyclip.plugins import find

HERE = Path(__file__).parent
ROOT = HERE / "packs_data" if (HERE / "packs_data").is_dir() else HERE.parent  # a wheel carries the folders inside the package
LANGUAGES = ROOT / "languages"
CORPORA = ROOT / "corpora"


class Pack(BaseModel):
    """Unknown keys are refused, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Source(Pack):
    """Where the named fields come from, and the day a person or a script really compared them."""

    fields: list[str] = Field(min_length=1)
    url: str = Field(pattern=r"^https?://")
    checked: date


class Codes(Pack):
    """What other schemes call the language; empty where a scheme does not have it."""

    flores: str = ""  # Flores-200: swh_Latn
    nllb: str = ""  # NLLB-200's language token
    m2m100: str = ""  # M2M-100's code: sw
    madlad: str = ""  # MADLAD-400's target token without <2 >: sw
    opus_mt: str = ""  # the part of Helsinki-NLP/opus-mt-en-XX
    apertium: str = ""  # Apertium's code, two letters or three, as its pairs spell it
    freedict: str = ""  # FreeDict's three letters
    babel_imagenet: str = ""  # Babel-ImageNet's key: SW
    xm3600: str = ""  # the name of Crossmodal-3600's captions: sw
    xtd: str = ""  # XTD-10's and XTD-200's: jp
    moses: str = ""  # sacremoses' language code


class Advice(Pack):
    """[recipe]: how this language is best aligned, and what to look out for."""

    method: str = "head-glu"
    budget: str = "5m"
    borrow: list[str] = []  # packs of related languages trained beside it
    translation: str = "none"  # the engine of `polyclip translate`: nllb, m2m100, madlad, opus-mt, apertium, lexicon, none
    shots: int = Field(default=0, ge=0)  # named pictures from which on few-shot recall levels off; 0: not measured
    traps: list[str] = []


class Language(Pack):
    """languages/<code>.toml: everything that depends on a language."""

    code: str = Field(pattern=r"^[a-z]{2,3}(-[A-Z][a-z]{3})?$")  # BCP 47, as XM3600 spells it
    iso639_3: str = Field(pattern=r"^[a-z]{3}$")
    name: str  # in English
    own_name: str
    script: str = Field(pattern=r"^[A-Z][a-z]{3}$")  # ISO 15924
    direction: Literal["ltr", "rtl"]
    aliases: list[str] = []  # other codes that mean this language and no other
    cldr: str  # the locale whose captions corpus `emoji` uses
    xm3600: bool  # one of the 36 languages of Crossmodal-3600
    in_xlmr: bool  # among the languages XLM-R was trained on
    in_nllb: bool = False  # among those of NLLB-200
    family: list[str] = []  # from the widest to the narrowest group: Niger-Congo, Bantu
    speakers: int | None = Field(default=None, ge=0)  # people; None where no source says
    resource_class: int | None = Field(default=None, ge=0, le=5)  # Joshi et al. 2020, from 0 (left behind) to 5 (winners)
    normalise: list[str] = ["nfc"]  # steps of polyclip/normalise.py, in this order
    prompts: list[str] = Field(default=["{}"], min_length=1)  # of zero-shot classification, each with one {}
    codes: Codes = Codes()
    recipe: Advice = Advice()
    sources: list[Source] = Field(min_length=1)


class Licence(Pack):
    """What part of a corpus is whose, under which SPDX licence."""

    part: str
    spdx: str
    holder: str
    url: str = Field(pattern=r"^https?://")


class Translation(Pack):
    """[translation] of a pack that `polyclip translate` made: to which corpus it adds machine captions, and how they came about."""

    base: str  # a corpus' name, or the path of a pack, from this pack's folder
    engine: str  # the name --with takes
    names: list[str]  # of engine, model and revision: the provenance of its captions
    source: str  # code of the language it was translated from
    languages: list[str] = Field(min_length=1)  # codes
    splits: list[Literal["train", "validation"]] = Field(min_length=1)  # where captions are added; never among those that are tested
    without_human: bool = False  # whether people's captions in `languages` are left out of `splits`
    captions_sha256: str  # of captions.jsonl
    options: dict[str, Any] = {}  # the engine's
    filters: dict[str, Any] = {}  # thresholds; a filter that is switched off is not named


class CorpusPack(Pack):
    """corpora/<name>.toml: where a corpus is, how to read it, its licences, what must come out."""

    name: str
    about: str
    reader: str
    folder: str  # relative to the pack
    rows: dict[str, int] = {}  # split -> rows in English, checked when it is read
    licences: list[Licence] = []
    translation: Translation | None = None  # of the reader `translated`


P = TypeVar("P", bound=Pack)


def read_pack(kind: type[P], path: Path) -> P:
    """Parse and validate one file.

    Raises PackError that names file, key, what was found and what was expected.
    """
    try:
        return kind.model_validate(tomllib.loads(path.read_text("utf-8")))
    except UnicodeDecodeError as error:
        raise PackError(f"{path} is not UTF-8 ({error}).") from error
    except tomllib.TOMLDecodeError as error:
        raise PackError(f"{path} is not TOML: {error}.") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise PackError(f"{path}: {where}: {first['msg']}, found {first['input']!r:.80} ({error.error_count()} problem(s) in all).") from error


def known_languages() -> list[str]:
    """Codes that have a pack."""
    return sorted(path.stem for path in LANGUAGES.glob("*.toml"))


@cache
def load_language(code: str) -> Language:
    """The pack languages/<code>.toml."""
    return read_pack(Language, LANGUAGES / f"{code}.toml")


@cache
def _spellings() -> dict[str, str]:
    found: dict[str, str] = {}
    for code in known_languages():
        pack = load_language(code)
        for spelling in (code, pack.iso639_3, pack.name, *pack.aliases):
            found.setdefault(spelling.lower().replace("_", "-"), code)
    return found


def resolve_language(text: str) -> Language:
    """`sw`, `swh`, `SW`, `Swahili`: any spelling a pack lists.

    Raises UnknownName with the nearest spellings.
    """
    spellings = _spellings()
    wanted = text.strip().lower().replace("_", "-")
    bare, _, script = wanted.rpartition("-")
    code = spellings.get(wanted) or spellings.get(bare)
    if code is not None and wanted not in spellings and load_language(code).script.lower() != script:
        code = None  # swh_Latn is Swahili, swh_Arab is not
    if code is None:
        near = {f"{code} ({load_language(code).name})" for code in spellings.values()}
        raise UnknownName("language", text, {*spellings} if len(text) > 3 else near, "A language is a file languages/<code>.toml.")
    return load_language(code)


class Corpus:
    """A corpus pack together with the reader that knows its layout."""

    def __init__(self, pack: CorpusPack, path: Path) -> None:
        self.pack = pack
        self.name = pack.name
        self.folder = path.parent / pack.folder
        self.reader: Any = _reader(pack, path)

    def locale(self, language: Language) -> str:
        """Under which name this corpus keeps the language: its CLDR locale, else its code."""
        return language.cldr if language.cldr in self.reader.languages(self.folder) else language.code


def _reader(pack: CorpusPack, path: Path) -> ModuleType:
    try:
        return find("readers", pack.reader)
    except UnknownName as error:
        raise PackError(f"{path}: reader: {error}") from error


def known_corpora() -> list[str]:
    """Names of the corpora that come with polyclip."""
    return sorted(path.stem for path in CORPORA.glob("*.toml"))


def load_corpus(name: str) -> Corpus:
    """A corpus by name, or by the path of a pack of one's own (`my/corpus.toml`).

    Raises UnknownName with the nearest names, PackError for a bad pack.
    """
    path = Path(name) if name.endswith(".toml") else CORPORA / f"{name}.toml"
    if not path.is_file():
        raise UnknownName("corpus", name, known_corpora(), "A corpus of your own is the path of a pack, such as my/corpus.toml.")
    return Corpus(read_pack(CorpusPack, path), path)
