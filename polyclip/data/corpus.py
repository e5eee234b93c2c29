"""Corpus packs, and the corpora that they describe."""

from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from pydantic import Field

from polyclip.core.registry import find
from polyclip.core.toml import CORPORA, Pack, read_pack
from polyclip.data.shards.schema import Stored
from polyclip.errors import PackError, UnknownName
from polyclip.languages.schema import Language


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
    splits: list[Literal["train", "validation"]] = Field(
        min_length=1
    )  # where captions are added; never among those that are tested
    without_human: bool = False  # whether people's captions in `languages` are left out of `splits`
    captions_sha256: str  # of captions.jsonl
    options: dict[str, Any] = {}  # the engine's
    filters: dict[str, Any] = {}  # thresholds; a filter that is switched off is not named


class CorpusPack(Pack):
    """corpora/<name>.toml: where a corpus is, how to read it, its licences, what must come out."""

    name: str
    about: str
    reader: str
    folder: str = ""  # relative to the pack
    files: (
        str | list[str]
    ) = []  # in place of a folder: shards, as paths from the pack's folder or addresses that fsspec knows
    shards: Stored = Stored()  # how samples are found in them
    rows: dict[str, int] = {}  # split -> rows in English, checked when it is read
    licences: list[Licence] = []
    translation: Translation | None = None  # of the reader `translated`


class Corpus:
    """A corpus pack together with the reader that knows its layout."""

    def __init__(self, pack: CorpusPack, path: Path) -> None:
        self.pack = pack
        self.name = pack.name
        self.path = path
        self.reader: Any = _reader(pack, path)

    @cached_property
    def folder(self) -> Path:
        """Where the reader finds it. A corpus in shards has an index in the cache, made when it is first asked for.

        Raises DataError for shards that cannot be read, or hold more bad samples than the pack allows.
        """
        return self.reader.indexed(self.pack, self.path) if self.pack.files else self.path.parent / self.pack.folder

    def allow(self, max_bad: str) -> None:
        """Let so many samples be bad (`0.1%`), now and whenever the corpus is read again.

        Raises PackError for a corpus that is not in shards, and what `folder` raises.
        """
        if not self.pack.files:
            raise PackError(
                f"--max-bad {max_bad} is for a corpus in shards; {self.path} reads {self.pack.reader!r}, whose every row must be good."
            )
        self.reader.indexed(self.pack, self.path, max_bad)

    def locale(self, language: Language) -> str:
        """Under which name this corpus keeps the language: its CLDR locale, else its code."""
        return language.cldr if language.cldr in self.reader.languages(self.folder) else language.code


def _reader(pack: CorpusPack, path: Path) -> ModuleType:
    try:
        reader = find("readers", pack.reader)
    except UnknownName as error:
        raise PackError(f"{path}: reader: {error}") from error
    wanted, other = ("files", "folder") if hasattr(reader, "indexed") else ("folder", "files")
    if getattr(pack, other) or not getattr(pack, wanted):
        raise PackError(
            f"{path}: reader {pack.reader!r} takes {wanted}; found {other if getattr(pack, other) else 'none'}. Write {wanted} = ... in the pack."
        )
    return reader


def known_corpora() -> list[str]:
    """Names of the corpora that come with polyclip."""
    return sorted(path.stem for path in CORPORA.glob("*.toml"))


def load_corpus(name: str) -> Corpus:
    """A corpus by name, or by the path of a pack of one's own (`my/corpus.toml`).

    Raises UnknownName with the nearest names, PackError for a bad pack.
    """
    path = Path(name) if name.endswith(".toml") else CORPORA / f"{name}.toml"
    if not path.is_file():
        raise UnknownName(
            "corpus", name, known_corpora(), "A corpus of your own is the path of a pack, such as my/corpus.toml."
        )
    return Corpus(read_pack(CorpusPack, path), path)
