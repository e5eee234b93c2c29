"""What an index is on disk: a manifest that names the files of one generation, written last, so that readers see all of it or none.

`index.json` (manifest), `pictures.N.parquet` (what each row is), `vectors.N.safetensors` (unit vectors, float32), above 50,000 pictures
`graph.N.usearch`, and while it is being made `parts/` with what was encoded so far. N counts the times the index was written.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from polyclip.core.storage import PART, write_text, writing
from polyclip.errors import DataError

FORMAT = 1
MANIFEST = "index.json"
INSIDE = ".polyclip-index"  # where the index of a folder of pictures is kept, unless --out says otherwise
KINDS = ("vectors", "pictures", "graph")
SCHEMA = pa.schema(
    [("path", pa.string()), ("number", pa.int64()), ("size", pa.int64()), ("changed", pa.int64()), ("key", pa.string())]
)
COLUMNS = tuple(SCHEMA.names)


class Entry(BaseModel):
    """What a row of an index is."""

    model_config = ConfigDict(frozen=True)
    path: str  # from the root, with slashes
    number: int  # in the graph; never used again for another picture
    size: int  # bytes; -1 where the file was not there when its vector was taken over
    changed: int  # modification time in nanoseconds
    key: str  # sha256 of the file; empty where it was not there


class Graph(BaseModel):
    """How the approximate search was set up, and what it finds of what an exact search finds."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    expansion: int  # candidates kept while the graph is walked
    recall_at_10: dict[str, float]  # by kind of query, in [0, 1]
    queries: dict[str, int]


class Manifest(BaseModel):
    """index.json."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    format: int = FORMAT
    root: str  # of the pictures: absolute, or from the index's folder where that lies inside
    model: str  # run folder
    aligner: str  # sha256 of its aligner.safetensors
    dim: int
    rows: int
    next: int  # number of the next picture
    generation: int
    bytes: dict[str, int]  # of each file
    present: int  # pictures that were there when it was written
    graph: Graph | None = None

    def file(self, kind: str) -> str:
        """Name of one of its files."""
        return (
            f"{kind}.{self.generation}.{({'vectors': 'safetensors', 'pictures': 'parquet', 'graph': 'usearch'})[kind]}"
        )


def located(folder: Path) -> Path:
    """The index's own folder: `folder`, or the one inside a folder of pictures."""
    return folder / INSIDE if (folder / INSIDE / MANIFEST).is_file() and not (folder / MANIFEST).is_file() else folder


def read_manifest(folder: Path) -> Manifest:
    """The manifest of an index whose files are all there and whole.

    Raises DataError for a folder without one, one that is damaged or of another version, and files that are missing or of another length.
    """
    path = folder / MANIFEST
    try:
        found = Manifest.model_validate_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DataError(
            f"{folder} holds no index: it has no {MANIFEST}. Make one with: polyclip index PICTURES --model RUN --out {folder}"
        ) from error
    except (ValidationError, OSError) as error:
        raise DataError(
            f"{path} is damaged or not of this version ({' '.join(str(error).split())[:120]}). Remove {folder} and index again."
        ) from error
    for name, size in found.bytes.items():
        if Path(name).name != name or name not in [found.file(kind) for kind in KINDS]:
            raise DataError(f"{path} names {name!r}, which is no file of an index; remove {folder} and index again.")
        have = (folder / name).stat().st_size if (folder / name).is_file() else None
        if have != size:
            what = (
                "is missing" if have is None else f"has {have:,} bytes, expected {size:,}: it was cut short or changed"
            )
            raise DataError(
                f"{folder / name} {what}. Copy the whole index again, or remove {folder} and run 'polyclip index' again."
            )
    return found


def read_vectors(folder: Path, manifest: Manifest) -> Float[Tensor, "row dim"]:
    """Unit vectors, mapped from disk.

    Raises DataError where they are damaged or not those of the manifest.
    """
    path = folder / manifest.file("vectors")
    try:
        vectors = load_file(path)["vectors"]
    except (SafetensorError, KeyError, OSError) as error:
        raise DataError(f"{path} is damaged ({error}). Remove {folder} and index again.") from error
    if tuple(vectors.shape) != (manifest.rows, manifest.dim):
        raise DataError(
            f"{path} holds {list(vectors.shape)} values, expected {[manifest.rows, manifest.dim]}. Remove {folder} and index again."
        )
    return vectors


def read_table(folder: Path, manifest: Manifest, columns: Sequence[str] = COLUMNS) -> dict[str, list[Any]]:
    """Columns of the pictures' table.

    Raises DataError where it is damaged, or names a file outside the root.
    """
    path = folder / manifest.file("pictures")
    try:
        with pq.ParquetFile(path) as file:  # read_table would import pyarrow.dataset and pandas
            table = file.read(columns=list(columns)).to_pydict()
    except (pa.ArrowException, OSError, KeyError) as error:
        raise DataError(f"{path} is damaged ({error}). Remove {folder} and index again.") from error
    if any(len(table.get(name, [])) != manifest.rows for name in columns):
        raise DataError(
            f"{path} has no {manifest.rows:,} rows of {', '.join(columns)}. Remove {folder} and index again."
        )
    check_paths(table["path"], path)
    return table


def check_paths(paths: Sequence[str], where: Path) -> None:
    """Raises DataError for a path that leads out of the root."""
    for path in paths:
        if not path or path.startswith("/") or "\\" in path or ":" in path[:2] or ".." in path.split("/"):
            raise DataError(
                f"{where} names {path!r}, which is not inside the folder of pictures; it was not made by 'polyclip index'."
            )


def read_entries(folder: Path, manifest: Manifest) -> list[Entry]:
    """All that is known of each row."""
    table = read_table(folder, manifest)
    return [
        Entry.model_construct(**dict(zip(COLUMNS, row, strict=True)))
        for row in zip(*(table[name] for name in COLUMNS), strict=True)
    ]


def write_vectors(path: Path, vectors: Float[Tensor, "row dim"]) -> None:
    """Whole or not at all."""
    with writing(path, what="the index") as temporary:
        save_file({"vectors": vectors.contiguous()}, temporary)


def write_entries(path: Path, entries: Sequence[Entry]) -> None:
    """Whole or not at all."""
    table = pa.table({name: [getattr(entry, name) for entry in entries] for name in COLUMNS}, schema=SCHEMA)
    with writing(path, what="the index") as temporary:
        pq.write_table(table, temporary, compression="zstd")


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """From now on this generation is the index; what others left is removed."""
    write_text(folder / MANIFEST, manifest.model_dump_json(indent=1) + "\n", what="the index")
    for path in folder.glob("*.*.*"):
        if path.name.split(".")[0] in KINDS and path.name not in manifest.bytes:
            path.unlink(missing_ok=True)


def check_out(folder: Path) -> None:
    """Raises DataError where `folder` exists and is neither empty nor an index, finished or not."""
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder} is a file; give another --out.")
    known = {MANIFEST, "parts", "lock"}
    strangers = [
        p.name
        for p in folder.glob("*")
        if p.name not in known and p.suffix != PART and p.name.split(".")[0] not in KINDS
    ]
    if strangers and not (folder / MANIFEST).is_file():
        raise DataError(
            f"{folder} holds {strangers[0]!r} and is no index; give an empty folder, or one that does not exist, as --out."
        )


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Nobody else writes the index meanwhile; the lock ends with the process, however that ends.

    Raises DataError where another process has it, or the folder cannot be written.
    """
    lock = FileLock(folder / "lock")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
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
