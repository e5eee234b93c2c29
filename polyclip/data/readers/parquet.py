"""A corpus in parquet shards, `files = "data/train-*.parquet"`.

Images are bytes or paths from the shard's folder, captions are columns. [shards] of the pack names the columns:
`image`, and either `captions`, one for each language, or `caption` with `language_column` or `language`.
"""

from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from pyarrow.parquet import ParquetFile

from polyclip.data.corpus_pack import CorpusPack
from polyclip.data.images import MAX_BYTES
from polyclip.data.shards import columns, filesystem
from polyclip.data.shards.filesystem import Shard, local, resolve_beside
from polyclip.data.shards.sample import Sample
from polyclip.data.shards.scan import indexed
from polyclip.data.shards.schema import ShardOptions
from polyclip.data.shards.table import languages, pictures, read, split_concepts, styles, table

__all__ = [
    "content",
    "indexed",
    "languages",
    "local",
    "located",
    "pictures",
    "read",
    "samples",
    "split_concepts",
    "styles",
    "table",
]

COLUMN = "column"


def located(pack: CorpusPack, base: Path) -> list[Shard]:
    """List the parquet files that the pack names.

    Raises:
        PackError: A pattern is invalid, or a file is named twice.
        DataError: A file is missing.

    """
    return filesystem.locate_shards([pack.files] if isinstance(pack.files, str) else pack.files, base)


def samples(shard: Shard, stored: ShardOptions) -> tuple[Iterator[Sample], Counter]:
    """Iterate over the samples of a shard, one a row.

    Args:
        shard: The shard.
        stored: [shards] of the pack.

    Returns:
        The samples, and the columns that are not read.

    Raises:
        DataError: The file is damaged, or a column is missing.

    """
    path = local(shard)
    with columns.explain_parquet_errors(shard.url), ParquetFile(path) as file:
        having = file.schema_arrow.names
    read_, spoken = columns.select_columns(having, stored, shard.url)
    ignored = Counter({f"column {name}": 1 for name in having if name not in read_})
    found = columns.iterate_rows(path, shard.url, read_)
    return (_sample(shard, number, place, stored, spoken, read_[1]) for number, place in enumerate(found)), ignored


def content(shard: Shard, place: tuple[int, int], path: str) -> bytes:
    """Read the bytes of an image."""
    column = path.partition(":")[2] if path.startswith(f"{COLUMN}:") else ""
    return (
        columns.read_bytes(local(shard), place, column)
        if column
        else filesystem.read_file(resolve_beside(shard.url, path), MAX_BYTES)
    )


def _sample(
    shard: Shard,
    number: int,
    found: tuple[int, int, columns.Row],
    stored: ShardOptions,
    spoken: dict[str, str],
    single: str,
) -> Sample:
    group, place, row = found
    cell = row[stored.image]

    def data() -> bytes:
        inside, path = columns.read_image_cell(cell)
        return inside if inside is not None else filesystem.read_file(resolve_beside(shard.url, path), MAX_BYTES)

    path = cell.get("path") if isinstance(cell, dict) and not isinstance(cell.get("bytes"), bytes) else cell
    where = path if isinstance(path, str) else f"{COLUMN}:{stored.image}"
    return Sample(
        f"row {number}", (group, place), where, data, partial(columns.read_captions, row, stored, spoken, single)
    )
