"""A corpus in parquet shards, `files = "data/train-*.parquet"`: pictures as bytes or as paths from the shard's folder, captions in columns.

[shards] of the pack names the columns: `image`, and either `captions`, one for each language, or `caption` with `language_column` or `language`.
"""

from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from pyarrow.parquet import ParquetFile

from polyclip.data.corpus import CorpusPack
from polyclip.data.images import MAX_BYTES
from polyclip.data.shards import columns, filesystem
from polyclip.data.shards.filesystem import Shard, beside, local
from polyclip.data.shards.sample import Sample
from polyclip.data.shards.scan import indexed
from polyclip.data.shards.schema import Stored
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
    """Its parquet files.

    Raises what `files.located` raises.
    """
    return filesystem.located([pack.files] if isinstance(pack.files, str) else pack.files, base)


def samples(shard: Shard, stored: Stored) -> tuple[Iterator[Sample], Counter]:
    """A sample a row, called by its number, and the columns that are not read.

    Raises DataError for a damaged file and a column that is not there.
    """
    path = local(shard)
    with columns.reading(shard.url), ParquetFile(path) as file:
        having = file.schema_arrow.names
    read_, spoken = columns.wanted(having, stored, shard.url)
    ignored = Counter({f"column {name}": 1 for name in having if name not in read_})
    found = columns.rows(path, shard.url, read_)
    return (_sample(shard, number, place, stored, spoken, read_[1]) for number, place in enumerate(found)), ignored


def content(shard: Shard, place: tuple[int, int], path: str) -> bytes:
    """Bytes of a picture."""
    column = path.partition(":")[2] if path.startswith(f"{COLUMN}:") else ""
    return (
        columns.bytes_at(local(shard), place, column)
        if column
        else filesystem.content(beside(shard.url, path), MAX_BYTES)
    )


def _sample(
    shard: Shard, number: int, found: tuple[int, int, columns.Row], stored: Stored, spoken: dict[str, str], single: str
) -> Sample:
    group, place, row = found
    cell = row[stored.image]

    def data() -> bytes:
        inside, path = columns.picture_in(cell)
        return inside if inside is not None else filesystem.content(beside(shard.url, path), MAX_BYTES)

    path = cell.get("path") if isinstance(cell, dict) and not isinstance(cell.get("bytes"), bytes) else cell
    where = path if isinstance(path, str) else f"{COLUMN}:{stored.image}"
    return Sample(
        f"row {number}", (group, place), where, data, partial(columns.captions_of, row, stored, spoken, single)
    )
