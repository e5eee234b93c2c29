"""On-disk format of an index: data files of one generation and a manifest, written last, so that readers see all or
nothing.

`index.json` (manifest), `pictures.N.parquet` (what each row is), `vectors.N.safetensors` (embeddings, float32), from
50,000 images on `graph.N.usearch`, where images have captions `captions.N.parquet` and `caption_vectors.N.safetensors`,
and `parts/` with the embeddings of an unfinished run. N is the generation: how often the index was written.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from polyclip.core.nearby import FOLDER, INDEX_FOLDER, find_kind, hint_folder
from polyclip.core.run_folder import refuse_links
from polyclip.core.storage import PART, read_plain_bytes, remove_abandoned, write_atomically, write_text
from polyclip.core.text import describe_error
from polyclip.core.toml import to_fault
from polyclip.data.image_files import INDEX, has_drive
from polyclip.errors import DataError

FORMAT = 1
PATH = r"^[^\x00]{1,4000}$"
MANIFEST = "index.json"
LOCK = "lock"
INSIDE = INDEX  # where the index of a folder of images is kept, unless --out says otherwise
SUFFIXES = {
    "vectors": "safetensors",
    "pictures": "parquet",
    "graph": "usearch",
    "captions": "parquet",
    "caption_vectors": "safetensors",
}
KINDS = tuple(SUFFIXES)
BESIDE, NONE = "beside", "none"  # where captions come from: files beside the images; nowhere
SCHEMA = pa.schema(
    [("path", pa.string()), ("number", pa.int64()), ("size", pa.int64()), ("changed", pa.int64()), ("key", pa.string())]
)
COLUMNS = tuple(SCHEMA.names)
TYPES = {"path": str, "number": int, "size": int, "changed": int, "key": str}


class Entry(BaseModel):
    """One row of an index: an image file and its identity."""

    model_config = ConfigDict(frozen=True)
    path: str  # from the root, with slashes
    number: int  # in the graph; never reused for another image
    size: int  # bytes; -1 where the file was missing when its embedding was imported
    changed: int  # modification time in nanoseconds
    key: str  # SHA-256 of the file; empty where it was missing


class Graph(BaseModel):
    """Settings of the approximate search and its recall against an exact search."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    expansion: int  # size of the candidate list (ef) of a search
    recall_at_10: dict[str, float]  # by kind of query, in [0, 1]
    queries: dict[str, int]


class Manifest(BaseModel):
    """Contents of index.json: what the index holds and which files belong to it."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    format: int = FORMAT
    root: str = Field(pattern=PATH)  # of the images: absolute, or from the index's folder where that lies inside
    model: str = Field(pattern=PATH)  # run folder
    aligner: str  # hash of its model, see polyclip/models/model_identity.py
    dim: int
    rows: int
    next: int  # number of the next image
    generation: int
    bytes: dict[str, int]  # of each file
    present: int  # images that existed when it was written
    different: float | None = None  # things that the images show, as confidence.count_different estimates
    graph: Graph | None = None
    follow_links: bool = False  # whether images may be links that lead out of the root
    alike: list[list[int]] | None = None  # rows that show the same image; None where they were not compared
    captions: int = 0
    captions_from: str = Field(BESIDE, pattern=PATH)  # `beside`, `none`, or a table or corpus
    captions_language: str = ""  # code of those that do not name theirs; empty: found out
    captions_usual: tuple[float, float] = (0.0, 1.0)  # as ranking.measure_usual says
    examples: dict[str, list[str]] | None = None  # queries by language; None: never chosen

    def file_name(self, kind: str) -> str:
        """Return the name of the file of one of `KINDS`."""
        return f"{kind}.{self.generation}.{SUFFIXES[kind]}"


def find_index_folder(folder: Path) -> Path:
    """Return the folder of the index itself: `folder`, or the index folder inside a folder of images."""
    return folder / INSIDE if (folder / INSIDE / MANIFEST).is_file() and not (folder / MANIFEST).is_file() else folder


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of an index and check that its files are complete.

    Args:
        folder: The index's own folder.

    Returns:
        The manifest.

    Raises:
        DataError: There is no manifest, it is damaged or of another version, or a file is missing or of another size.

    """
    path = folder / MANIFEST
    try:
        found = Manifest.model_validate_json(read_plain_bytes(path))
    except (FileNotFoundError, NotADirectoryError) as error:
        plain = find_kind(folder) == FOLDER  # of images, perhaps
        raise DataError(
            f"{folder} is not an index: {MANIFEST} not found.{hint_folder(folder, INDEX_FOLDER)} Create one "
            f"with: polyclip index {f'{folder} --model RUN' if plain else f'IMAGES --model RUN --out {folder}'}"
        ) from error
    except (ValidationError, OSError) as error:
        why = str(to_fault(dict(error.errors()[0]))) if isinstance(error, ValidationError) else describe_error(error)
        raise DataError(
            f"{path} is damaged or not of this version ({why}). Remove {folder} and index again."
        ) from error
    for name, size in found.bytes.items():
        if Path(name).name != name or name not in [found.file_name(kind) for kind in KINDS]:
            raise DataError(f"{path} names {name!r}, which is not a file of an index; remove {folder} and index again.")
        have = (folder / name).stat().st_size if (folder / name).is_file() else None
        if have != size:
            what = (
                "is missing" if have is None else f"has {have:,} bytes, expected {size:,}: it was cut short or changed"
            )
            raise DataError(
                f"{folder / name} {what}. Copy the whole index again, or remove {folder} and run 'polyclip index' "
                "again."
            )
    return found


def read_table(folder: Path, manifest: Manifest, columns: Sequence[str] = COLUMNS) -> dict[str, list[Any]]:
    """Read columns of the table of images.

    Args:
        folder: The index's own folder.
        manifest: Its manifest.
        columns: Names of columns, see `COLUMNS`.

    Returns:
        Values by column, one for each row.

    Raises:
        DataError: The table is damaged, or names a file outside the root.

    """
    path = folder / manifest.file_name("pictures")
    try:
        with pq.ParquetFile(path) as file:  # read_table would import pyarrow.dataset and pandas
            table = file.read(columns=list(columns)).to_pydict()
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise DataError(f"{path} is damaged ({describe_error(error)}). Remove {folder} and index again.") from error
    if any(len(table.get(name, [])) != manifest.rows for name in columns):
        raise DataError(
            f"{path} has no {manifest.rows:,} rows of {', '.join(columns)}. Remove {folder} and index again."
        )
    for name in columns:
        if not all(isinstance(value, TYPES[name]) for value in table[name]):
            raise DataError(f"{path} has other values in {name!r} than an index has. Remove {folder} and index again.")
    check_paths(table["path"], path)
    return table


def check_paths(paths: Sequence[str], where: Path) -> None:
    """Check that no path leads out of the root.

    Args:
        paths: Paths relative to the root, with slashes.
        where: The file that names them, for the message.

    Raises:
        DataError: A path is empty, absolute or leads out of the root.

    """
    for path in paths:
        if path and path[0] not in "/\\" and ":" not in path and ".." not in path:
            continue  # so is nearly every path, and to parse a hundred thousand takes a second
        if not path or PurePath(path).is_absolute() or has_drive(path) or ".." in PurePath(path).parts:
            raise DataError(
                f"{where} names {path!r}, which is not inside the folder of images; it was not made by 'polyclip "
                "index'."
            )


def read_entries(folder: Path, manifest: Manifest) -> list[Entry]:
    """Read all columns of every row."""
    table = read_table(folder, manifest)
    return [
        Entry.model_construct(**dict(zip(COLUMNS, row, strict=True)))
        for row in zip(*(table[name] for name in COLUMNS), strict=True)
    ]


def write_entries(path: Path, entries: Sequence[Entry]) -> None:
    """Write the table of images atomically."""
    rows = [dict(entry) for entry in entries]
    table = pa.table({name: [row[name] for row in rows] for name in COLUMNS}, schema=SCHEMA)
    with write_atomically(path, what="the index") as temporary:
        pq.write_table(table, temporary, compression="zstd")


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Publish a generation: write its manifest, then remove files of older generations."""
    write_text(folder / MANIFEST, manifest.model_dump_json(indent=1) + "\n", what="the index")
    for path in folder.glob("*.*.*"):
        if path.name.split(".")[0] in KINDS and path.name not in manifest.bytes:
            path.unlink(missing_ok=True)


def check_out(folder: Path) -> None:
    """Check that `folder` is new, empty, or an index, complete or not.

    Raises:
        DataError: The folder is a file or holds something else.

    """
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder} is a file; give another --out.")
    known = {MANIFEST, "parts", LOCK}
    strangers = [
        p.name
        for p in folder.glob("*")
        if p.name not in known and p.suffix != PART and p.name.split(".")[0] not in KINDS
    ]
    if strangers and not (folder / MANIFEST).is_file():
        raise DataError(f"{folder} holds {strangers[0]!r} and is not an index; give an empty or new folder as --out.")


@contextmanager
def lock_index(folder: Path) -> Iterator[None]:
    """Keep other processes from writing the index; the lock ends with the process.

    Raises:
        DataError: Another process holds the lock, or the folder cannot be written.
        RunError: A link in the folder leads elsewhere.

    """
    lock = FileLock(folder / LOCK)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        refuse_links(folder, LOCK)
        lock.acquire(timeout=0)
        remove_abandoned(folder)
    except Timeout as error:
        raise DataError(
            f"Another process is writing {folder} now; wait until it has ended, or give another --out."
        ) from error
    except OSError as error:
        raise DataError(
            f"{folder} cannot be written: {error.strerror or error}; give another folder with --out."
        ) from error
    try:
        yield
    finally:
        lock.release()
