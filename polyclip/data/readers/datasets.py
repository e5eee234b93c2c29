"""A corpus that the library `datasets` reads, `files = "OWNER/NAME"` with a revision, or a local folder.

A stream has no random access: each of its shards is copied, as it is read, into a parquet file in the cache, with the
bytes of the images unchanged. [shards] of the pack names the columns as for parquet, and `split` and `revision` of the
data set.
"""

import json
from collections import Counter
from collections.abc import Iterator
from functools import cache, partial
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow.parquet import ParquetFile, ParquetWriter

from polyclip.core.json import parse_json
from polyclip.core.storage import check_plain_files, get_cache_folder, hash_parts, write_text
from polyclip.data.corpus_pack import CorpusPack
from polyclip.data.images import MAX_BYTES
from polyclip.data.shards import columns, filesystem
from polyclip.data.shards.filesystem import Shard, fetch_copy
from polyclip.data.shards.sample import Sample
from polyclip.data.shards.scan import indexed
from polyclip.data.shards.schema import ShardOptions
from polyclip.data.shards.table import languages, pictures, read, split_concepts, styles, table
from polyclip.errors import DataError, PackError

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

VERSION = "2"  # of the copies
BATCH = 32  # rows that are in memory together
COPY = pa.schema([("image", pa.binary()), ("row", pa.string())])  # the image, and the other columns as JSON


def located(pack: CorpusPack, base: Path) -> list[Shard]:
    """List the shards of the data set.

    Args:
        pack: The corpus pack.
        base: The pack's folder.

    Returns:
        As many shards as the data set has.

    Raises:
        PackError: Several names, or a hub name without a revision.
        DataError: The data set cannot be opened.

    """
    if not isinstance(pack.files, str) or "://" in pack.files:
        raise PackError(
            f"files: reader 'datasets' requires one hub name or local folder, found {str(pack.files)[:80]}; addresses "
            "are for webdataset and parquet."
        )
    folder, stored = (base / pack.files).resolve(), pack.shards
    if not folder.is_dir() and not stored.revision:
        raise PackError(
            f"files: {pack.files} is not a folder beside the pack; a hub data set requires its commit too: [shards] "
            'revision = "...", all 40 digits.'
        )
    name, token = (str(folder), _state(folder)) if folder.is_dir() else (pack.files, stored.revision)
    kept = get_cache_folder() / "shards" / "counts" / hash_parts(name, token, stored.split)[:32]
    if not kept.is_file():  # a finished index does not ask the hub again
        write_text(
            kept,
            str(_stream(name, stored.split, "" if folder.is_dir() else token).num_shards),
            what="a number of shards",
        )
    count = int(kept.read_text("utf-8"))
    return [
        Shard(json.dumps([name, stored.split, number, count], ensure_ascii=False), token, 0) for number in range(count)
    ]


def local(shard: Shard) -> Path:
    """Return the local copy of a shard; it is streamed first if it is missing."""
    return fetch_copy(hash_parts(VERSION, shard.key), partial(_copy, shard))


def samples(shard: Shard, stored: ShardOptions) -> tuple[Iterator[Sample], Counter]:
    """Iterate over the samples of a shard, one a row.

    Args:
        shard: The shard.
        stored: [shards] of the pack.

    Returns:
        The samples, and the columns that are not read.

    Raises:
        DataError: A column is missing.

    """
    path = local(shard)
    with ParquetFile(path) as file:
        having = ["image", *parse_json((file.schema_arrow.metadata or {}).get(b"columns", b"[]"))]
    wanted, spoken = columns.select_columns(having, stored.model_copy(update={"image": "image"}), shard.url)
    ignored = Counter({f"column {name}": 1 for name in having if name not in wanted})
    found = columns.iterate_rows(path, shard.url, ["image", "row"])
    return (_sample(number, place, stored, spoken, wanted[1]) for number, place in enumerate(found)), ignored


def content(shard: Shard, place: tuple[int, int], path: str) -> bytes:
    """Read the bytes of an image."""
    return columns.read_bytes(local(shard), place, "image")


def _sample(
    number: int, found: tuple[int, int, columns.Row], stored: ShardOptions, spoken: dict[str, str], single: str
) -> Sample:
    group, place, row = found

    def data() -> bytes:
        if row["image"] is None:
            raise DataError("no image")
        return bytes(row["image"])

    cells = parse_json(row["row"])
    return Sample(
        f"row {number}", (group, place), "", data, partial(columns.read_captions, cells, stored, spoken, single)
    )


@cache
def _stream(name: str, split: str, revision: str) -> Any:
    import datasets

    folder, hidden = Path(name), datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()

    def opened() -> Any:
        check_plain_files(folder)
        if (folder / "dataset_dict.json").is_file():
            return datasets.load_from_disk(name)[split].to_iterable_dataset(num_shards=1)
        if (folder / "state.json").is_file():
            return datasets.load_from_disk(name).to_iterable_dataset(num_shards=1)
        return datasets.load_dataset(name, split=split, revision=revision or None, streaming=True)

    try:
        return filesystem.ask_filesystem(f"data set {name}, split {split}", opened)
    finally:
        if not hidden:
            datasets.enable_progress_bars()


def _copy(shard: Shard, target: Path) -> None:
    """Write the rows of a shard to a parquet file, unchanged."""
    import datasets

    name, split, number, count = parse_json(shard.url)
    whole = _stream(name, split, "" if Path(name).is_dir() else shard.token)
    own = whole.shard(num_shards=count, index=number)
    features = own.features or filesystem.ask_filesystem(shard.url, lambda: own._resolve_features().features)
    image = next((column for column, kind in features.items() if isinstance(kind, datasets.Image)), "image")
    if image not in features:
        raise DataError(f"data set {name} has no column of images; found {', '.join(features)}.")
    rows = iter(
        own.cast_column(image, datasets.Image(decode=False)) if isinstance(features[image], datasets.Image) else own
    )
    having = [column for column in features if column != image]
    with ParquetWriter(target, COPY.with_metadata({"columns": json.dumps(having, ensure_ascii=False)})) as writer:
        while batch := filesystem.ask_filesystem(f"data set {name}, shard {number}", lambda: list(islice(rows, BATCH))):
            writer.write_table(pa.Table.from_pylist([_kept(row, image) for row in batch], schema=COPY))


def _kept(row: columns.Row, image: str) -> columns.Row:
    others = {column: cell for column, cell in row.items() if column != image}
    return {"image": _bytes(row[image]), "row": json.dumps(others, ensure_ascii=False, default=str)}


def _bytes(cell: object) -> bytes | None:
    """Read the bytes of an image, from its own file where the data set names one; None where it cannot be read."""
    try:
        data, path = columns.read_image_cell(cell)
        return data if data is not None else filesystem.read_file(path, MAX_BYTES)
    except DataError:
        return None


def _state(folder: Path) -> str:
    """Hash the names, sizes and times of the files of a local data set."""
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return hash_parts(
        *(f"{path.relative_to(folder)} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in found)
    )
