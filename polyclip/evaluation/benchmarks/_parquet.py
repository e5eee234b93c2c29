"""Parquet copies of benchmarks as on the Hugging Face Hub: one split per language, images in a column.

Files are called `data/<split>-00000-of-00001.parquet`.
"""

import hashlib
import re
from collections.abc import Iterator
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from PIL import Image

from polyclip.core.progress import Progress
from polyclip.core.storage import check_plain, describe_file
from polyclip.core.text import describe_error
from polyclip.data.images import MAX_BYTES, decode_image
from polyclip.data.types import ImageSource
from polyclip.errors import DataError

NAME = re.compile(r"(?P<split>.+?)(-(?P<number>\d{5})-of-(?P<count>\d{5})(-[0-9a-f]+)?)?\.parquet")
IMAGE = "image"
Row = dict[str, Any]


def find_shards(folder: Path) -> dict[str, list[Path]]:
    """Find the parquet files in `data/` or the folder itself.

    Args:
        folder: Folder of the copy.

    Returns:
        Files by split; empty where there are none.

    Raises:
        DataError: A split lacks one of its files.

    """
    places = [place for place in (folder / "data", folder) if any(place.glob("*.parquet"))]
    found: dict[str, list[Path]] = {}
    for path in sorted(places[0].glob("*.parquet")) if places else []:
        name = NAME.fullmatch(path.name)
        found.setdefault(name["split"] if name else path.stem, []).append(path)
    for split, paths in found.items():
        name = NAME.fullmatch(paths[0].name)
        if name and name["count"] and len(paths) != int(name["count"]):
            raise DataError(
                f"{paths[0].parent} has {len(paths)} of the {int(name['count'])} parquet files of {split!r}; download "
                "the others."
            )
    return found


def describe_copy(folder: Path) -> str:
    """Return `parquet`, with the revision where the folder is a snapshot in the Hub's cache."""
    return f"parquet, revision {folder.name}" if re.fullmatch(r"[0-9a-f]{40}", folder.name) else "parquet"


def read_rows(path: Path, columns: list[str]) -> Iterator[tuple[str, Row]]:
    """Yield `file:row` and some columns of each row.

    Args:
        path: The parquet file.
        columns: Columns to read; `image` becomes an ImageSource that is read again when it is opened.

    Yields:
        Where the row is, for error messages, and its columns.

    Raises:
        DataError: The file is damaged, a column is missing, or an image is not bytes.

    """
    import pyarrow
    from pyarrow.parquet import ParquetFile

    number = 0
    try:
        check_plain(path)
        with ParquetFile(path) as file, Progress(f"reading {path.name}", file.metadata.num_rows) as progress:
            having = file.schema_arrow.names
            if lacking := [column for column in columns if column not in having]:
                raise DataError(
                    f"{path} has no column {lacking[0]!r}; expected {', '.join(columns)}, found {', '.join(having)}."
                )
            for group in range(file.num_row_groups):
                for place, row in enumerate(file.read_row_group(group, columns).to_pylist()):
                    number += 1
                    where = f"{path}:{number}"
                    yield (
                        where,
                        row
                        | ({IMAGE: _make_image(row[IMAGE], where, (path, group, place))} if IMAGE in columns else {}),
                    )
                    progress.advance(1)
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError) as error:
        raise DataError(
            f"{path} is not a readable parquet file ({describe_error(error)}); download it again."
        ) from error


def _make_image(value: object, where: str, at: tuple[Path, int, int]) -> ImageSource:
    data = value.get("bytes") if isinstance(value, dict) else None
    if not isinstance(data, bytes):
        raise DataError(f"{where}: column {IMAGE} holds {type(value).__name__}, expected an image's bytes.")
    if len(data) > MAX_BYTES:
        raise DataError(f"{where}: an image of {len(data):,} bytes, at most {MAX_BYTES:,} are read.")
    return ImageSource(where, hashlib.sha256(data).hexdigest(), partial(_open, where, at))


def _open(where: str, at: tuple[Path, int, int]) -> Image.Image:
    path, group, place = at
    try:
        data = _read_images(path, describe_file(path), group)[place]
    except OSError as error:
        raise DataError(f"{where}: cannot be read any more ({error.strerror or error}).") from error
    return decode_image(data, where)


@lru_cache(maxsize=4)  # row groups; images are read roughly in their order
def _read_images(path: Path, stamp: str, group: int) -> list[bytes]:
    """Images of a row group, read once as long as the file stays as it is (`stamp`)."""
    from pyarrow.parquet import ParquetFile

    with ParquetFile(path) as file:
        return [row[IMAGE]["bytes"] for row in file.read_row_group(group, [IMAGE]).to_pylist()]
