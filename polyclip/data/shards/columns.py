"""Rows of a parquet file: images as bytes or as paths from its folder, captions in columns."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow.parquet import ParquetFile

from polyclip.core.storage import describe_file
from polyclip.core.text import describe_error
from polyclip.data.shards.sample import Caption, tag_language, tag_languages
from polyclip.data.shards.schema import ShardOptions
from polyclip.errors import DataError

BATCH = 32  # rows that are in memory together
Row = dict[str, Any]


@contextmanager
def explain_parquet_errors(shown: str) -> Iterator[None]:
    """Turn pyarrow's errors into a DataError that names the damaged file, shown as `shown`."""
    try:
        yield
    except (pa.ArrowException, OSError, ValueError, OverflowError, IndexError) as error:
        raise DataError(
            f"{shown} is not a readable parquet file ({describe_error(error)}); write or download it again."
        ) from error


def iterate_rows(path: Path, shown: str, columns: list[str]) -> Iterator[tuple[int, int, Row]]:
    """Iterate over the rows of a parquet file.

    Args:
        path: The file.
        shown: What error messages call it.
        columns: Names of the columns to read.

    Yields:
        Row group, place in it, and the columns of the row.

    Raises:
        DataError: The file is damaged.

    """
    with explain_parquet_errors(shown), ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            place = 0
            for batch in file.iter_batches(BATCH, row_groups=[group], columns=columns, use_threads=False):
                for row in batch.to_pylist():
                    yield group, place, row
                    place += 1


def select_columns(having: list[str], stored: ShardOptions, shown: str) -> tuple[list[str], dict[str, str]]:
    """Select the columns to read.

    Unless the pack says otherwise, captions are the column `caption`, or `captions` as lists or by language.

    Args:
        having: Names of the file's columns.
        stored: [shards] of the pack.
        shown: What error messages call the file.

    Returns:
        The columns, and those of captions by language where each language has its own.

    Raises:
        DataError: A column is missing.

    """
    by_language = dict(stored.captions)
    single = (
        []
        if by_language
        else [stored.caption or next((name for name in ("captions", "caption", "text") if name in having), "caption")]
    )
    columns = [
        stored.image,
        *by_language.values(),
        *single,
        *([stored.language_column] if stored.language_column else []),
    ]
    lacking = [column for column in columns if column not in having]
    if lacking:
        raise DataError(
            f"{shown} has no column {lacking[0]!r}; found {', '.join(having)}. Name the columns in the pack: [shards] "
            "image, captions, caption."
        )
    return list(dict.fromkeys(columns)), by_language


def read_captions(row: Row, stored: ShardOptions, by_language: dict[str, str], single: str) -> list[Caption]:
    """Read the captions of a row; empty cells are skipped.

    Raises:
        DataError: A cell is neither text nor a list of texts.

    """
    if by_language:
        return [
            found
            for code, column in by_language.items()
            if row[column] not in (None, "", [])
            for found in tag_language(code, row[column])
        ]
    cell = row[single]
    if isinstance(cell, dict):
        return tag_languages(cell)
    if cell in (None, "", []):
        return []
    return tag_language(str(row[stored.language_column] or "") if stored.language_column else stored.language, cell)


def read_image_cell(cell: object) -> tuple[bytes | None, str]:
    """Read the bytes of an image's cell, or its path.

    Raises:
        DataError: The cell has neither.

    """
    data, path = (cell.get("bytes"), cell.get("path")) if isinstance(cell, dict) else (cell, cell)
    if isinstance(data, bytes):
        return data, ""
    if isinstance(path, str) and path:
        return None, path
    raise DataError(f"no image: {type(cell).__name__} where bytes or a path were expected")


@lru_cache(maxsize=2)  # row groups; images are asked for in about their order
def read_row_group(path: Path, stamp: str, group: int, column: str) -> pa.ChunkedArray:
    """Read the images of a row group, once as long as the file stays as it is (`stamp`)."""
    with explain_parquet_errors(str(path)), ParquetFile(path) as file:
        return file.read_row_group(group, [column], use_threads=False).column(0)


def read_bytes(path: Path, place: tuple[int, int], column: str) -> bytes:
    """Read the bytes of one image.

    Raises:
        DataError: The cell holds no bytes.

    """
    with explain_parquet_errors(str(path)):
        cell = read_row_group(path, describe_file(path), place[0], column)[place[1]].as_py()
    data, _ = read_image_cell(cell)
    if data is None:
        raise DataError(f"{path}: row {place[1]} of group {place[0]} holds no bytes.")
    return data
