"""What is known of a benchmark before its files are read: NAME.toml beside NAME.py. Nothing here imports torch."""

from functools import cache
from pathlib import Path

from pydantic import Field

from polyclip.core.registry import to_module_name
from polyclip.core.toml import Pack, read_pack
from polyclip.errors import UnknownName
from polyclip.languages.schema import Source

FOLDER = Path(__file__).parent / "benchmarks"


class File(Pack):
    """One file or file pattern of a layout, relative to `--data`."""

    path: str
    what: str


class Layout(Pack):
    """Files that belong together; `called` is the name of the layout in reports."""

    called: str
    files: list[File] = Field(min_length=1)


class Split(Pack):
    """Official counts of one split, by the benchmark's own language codes."""

    pictures: int = Field(default=0, ge=0)  # 0: not known
    captions: dict[str, int] = {}  # language -> captions
    galleries: dict[str, int] = {}  # language -> images, where each language has its own
    files: int = Field(default=0, ge=0)  # languages with one caption an image, where they are too many to list


class Hub(Pack):
    """A copy on the Hugging Face Hub with one parquet split per language."""

    repository: str = Field(pattern=r"^[\w.-]+/[\w.-]+$")
    revision: str = Field(default="", pattern=r"^([0-9a-f]{40})?$")  # empty: not known, to be named by the user


class BenchmarkFacts(Pack):
    """Contents of evaluation/benchmarks/<name>.toml: the files' source, their contents, and known problems."""

    name: str
    about: str
    where: list[str]
    licence: str
    size: str  # on disk
    layouts: list[Layout] = Field(min_length=1)
    protocols: list[str] = Field(min_length=1)
    traps: list[str] = []
    places: list[str] = []  # folders below --data in which images are looked for
    splits: dict[str, Split] = {}
    hub: list[Hub] = []
    sources: list[Source] = Field(min_length=1)


def list_benchmarks() -> list[str]:
    """List the names of the benchmarks that have files of their own."""
    return sorted(path.stem.replace("_", "-") for path in FOLDER.glob("*.toml"))


@cache
def load_facts(name: str) -> BenchmarkFacts:
    """Load the facts of one benchmark.

    Args:
        name: Name of the benchmark, such as `xm3600`.

    Returns:
        The validated contents of its TOML file.

    Raises:
        UnknownName: There is no such benchmark; the message names the nearest ones.
        PackError: The file does not match the schema.

    """
    if name.replace("_", "-") not in list_benchmarks():
        raise UnknownName("benchmark with files of its own", name, list_benchmarks())
    return read_pack(BenchmarkFacts, FOLDER / f"{to_module_name(name)}.toml")
