"""Rows of a parquet file: pictures as bytes or as paths from its folder, captions in columns."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow.parquet import ParquetFile

from polyclip.data.shards.sample import Caption, in_language
from polyclip.data.shards.schema import Stored
from polyclip.errors import DataError

BATCH = 32  # rows that are in memory together
Row = dict[str, Any]


@contextmanager
def reading(shown: str) -> Iterator[None]:
    """Within it, what pyarrow raises is a DataError that says which file is damaged."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise DataError(
            f"{shown} is no parquet file that can be read ({str(error)[:120]}); write or download it again."
        ) from error


def rows(path: Path, shown: str, columns: list[str]) -> Iterator[tuple[int, int, Row]]:
    """Row group, place in it, and these columns of each row.

    Raises DataError for a damaged file.
    """
    with reading(shown), ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            place = 0
            for batch in file.iter_batches(BATCH, row_groups=[group], columns=columns, use_threads=False):
                for row in batch.to_pylist():
                    yield group, place, row
                    place += 1


def wanted(having: list[str], stored: Stored, shown: str) -> tuple[list[str], dict[str, str]]:
    """The columns that are read, and those of captions by language where each language has its own.

    Without a word in the pack, captions are the column `caption`, or `captions` as lists or by language.
    Raises DataError for a column that is not there.
    """
    spoken = dict(stored.captions)
    single = (
        []
        if spoken
        else [stored.caption or next((name for name in ("captions", "caption", "text") if name in having), "caption")]
    )
    columns = [stored.image, *spoken.values(), *single, *([stored.language_column] if stored.language_column else [])]
    lacking = [column for column in columns if column not in having]
    if lacking:
        raise DataError(
            f"{shown} has no column {lacking[0]!r}; found {', '.join(having)}. Name its columns in the pack: [shards] image, captions, caption."
        )
    return list(dict.fromkeys(columns)), spoken


def captions_of(row: Row, stored: Stored, spoken: dict[str, str], single: str) -> list[Caption]:
    """Captions of a row; empty cells say nothing.

    Raises DataError for a cell that is neither text nor a list of it.
    """
    if spoken:
        return [
            found
            for code, column in spoken.items()
            if row[column] not in (None, "", [])
            for found in in_language(code, row[column])
        ]
    cell = row[single]
    if isinstance(cell, dict):
        return [
            found for code, texts in cell.items() if texts not in (None, "", []) for found in in_language(code, texts)
        ]
    if cell in (None, "", []):
        return []
    return in_language(str(row[stored.language_column] or "") if stored.language_column else stored.language, cell)


def picture_in(cell: object) -> tuple[bytes | None, str]:
    """Bytes of a picture's cell, or its path.

    Raises DataError for a cell that has neither.
    """
    data, path = (cell.get("bytes"), cell.get("path")) if isinstance(cell, dict) else (cell, cell)
    if isinstance(data, bytes):
        return data, ""
    if isinstance(path, str) and path:
        return None, path
    raise DataError(f"no picture: {type(cell).__name__} where bytes or a path were expected")


@lru_cache(maxsize=2)  # row groups; pictures are asked for in about their order
def group_of(path: Path, group: int, column: str) -> pa.ChunkedArray:
    """The pictures of a row group."""
    with reading(str(path)), ParquetFile(path) as file:
        return file.read_row_group(group, [column], use_threads=False).column(0)


def bytes_at(path: Path, place: tuple[int, int], column: str) -> bytes:
    """Bytes of one picture."""
    data, _ = picture_in(group_of(path, place[0], column)[place[1]].as_py())
    if data is None:
        raise DataError(f"{path}: row {place[1]} of group {place[0]} holds no bytes.")
    return data
