"""The schema of corpus packs: where a corpus is, how to read it, its licences and expected sizes."""

from typing import Any, Literal

from pydantic import Field

from polyclip.core.toml import Pack
from polyclip.data.shards.schema import ShardOptions

PACK = "corpus.toml"  # of a corpus in a folder of its own


class Licence(Pack):
    """The licence of one part of a corpus: SPDX identifier, holder and address."""

    part: str
    spdx: str
    holder: str
    url: str = Field(pattern=r"^https?://")


class Translation(Pack):
    """[translation] of a pack that `polyclip translate` made.

    It names the corpus that machine-translated captions are added to, and how they were made.
    """

    base: str  # a corpus' name, or the path of a pack, from this pack's folder
    engine: str  # value of --with
    names: list[str]  # of engine, model and revision: the provenance of its captions
    source: str  # code of the language it was translated from
    languages: list[str] = Field(min_length=1)  # codes
    splits: list[Literal["train", "validation"]] = Field(min_length=1)  # splits that get captions; never the test split
    without_human: bool = False  # whether human captions in `languages` are left out of `splits`
    captions_sha256: str  # of captions.jsonl
    options: dict[str, Any] = {}  # the engine's
    filters: dict[str, Any] = {}  # thresholds; a filter that is switched off is not named


class CorpusPack(Pack):
    """corpora/<name>.toml: where a corpus is, how to read it, its licences and expected sizes."""

    name: str
    about: str
    reader: str
    folder: str = ""  # relative to the pack
    follow_links: bool = False  # whether images may be links that lead out of the folder; of the reader `jsonl`
    images: str = ""  # in corpus.toml of the reader `jsonl`: folder of the images, where they are not in `folder`
    files: (
        str | list[str]
    ) = []  # in place of a folder: shards, as paths from the pack's folder or addresses that fsspec knows
    shards: ShardOptions = ShardOptions()  # how samples are found in them
    rows: dict[str, int] = {}  # split -> rows in English, checked when it is read
    licences: list[Licence] = []
    translation: Translation | None = None  # of the reader `translated`
