"""What is known of a benchmark before its files are read: NAME.toml beside NAME.py. Nothing here imports torch."""

from functools import cache
from pathlib import Path

from pydantic import Field

from polyclip.core.registry import module_name
from polyclip.core.toml import Pack, read_pack
from polyclip.errors import UnknownName
from polyclip.languages.schema import Source

FOLDER = Path(__file__).parent / "benchmarks"


class File(Pack):
    """One file or pattern of files in a layout, relative to --data."""

    path: str
    what: str


class Layout(Pack):
    """Files that belong together; `called` is what reports say was read."""

    called: str
    files: list[File] = Field(min_length=1)


class Split(Pack):
    """Official counts of one split, under the benchmark's own language codes."""

    pictures: int = Field(default=0, ge=0)  # 0: nobody counted them
    captions: dict[str, int] = {}  # language -> captions
    galleries: dict[str, int] = {}  # language -> pictures, where each language has its own
    files: int = Field(default=0, ge=0)  # languages with one caption a picture, where they are too many to list


class Hub(Pack):
    """A copy on the Hugging Face hub, one parquet split a language."""

    repository: str = Field(pattern=r"^[\w.-]+/[\w.-]+$")
    revision: str = Field(default="", pattern=r"^([0-9a-f]{40})?$")  # empty: not known, to be named by the user


class Facts(Pack):
    """polyclip/benchmarks/<name>.toml: where the files come from, what they must contain, what goes wrong with them."""

    name: str
    about: str
    where: list[str]
    licence: str
    size: str  # on disk
    layouts: list[Layout] = Field(min_length=1)
    protocols: list[str] = Field(min_length=1)
    traps: list[str] = []
    places: list[str] = []  # folders below --data in which pictures are looked for
    splits: dict[str, Split] = {}
    hub: list[Hub] = []
    sources: list[Source] = Field(min_length=1)


def known() -> list[str]:
    """Names of the benchmarks that have such a file."""
    return sorted(path.stem.replace("_", "-") for path in FOLDER.glob("*.toml"))


@cache
def facts(name: str) -> Facts:
    """The facts of one benchmark.

    Raises UnknownName with the nearest names, PackError for a file that breaks the schema.
    """
    if name.replace("_", "-") not in known():
        raise UnknownName("benchmark with files of its own", name, known())
    return read_pack(Facts, FOLDER / f"{module_name(name)}.toml")
