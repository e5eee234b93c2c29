"""The index of a shard: key, place, image hash and captions of each sample, and what is wrong with bad ones.

It is written once and atomically. Every image is decoded once for it, JPEG at an eighth of its size, so that unreadable
ones are known before training.
"""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from polyclip.core.storage import write_atomically
from polyclip.data.images import MAX_BYTES, decode_for_edge, decode_image
from polyclip.data.shards.sample import Sample, check_sample_captions
from polyclip.errors import DataError

VERSION = "2"  # of the index format and of how samples are read
WINDOW = 64  # samples whose images are in memory together
CAPTION = pa.struct([("language", pa.string()), ("text", pa.string())])
SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("digest", pa.binary(32)),  # SHA-256 of the image's bytes; zeros for a bad sample
        ("first", pa.int64()),
        ("second", pa.int64()),
        ("path", pa.string()),
        ("captions", pa.list_(CAPTION)),
        ("problem", pa.string()),  # empty for a good sample
    ]
)
Meter = Callable[[int], None]


def write_index(path: Path, shown: str, samples: Iterator[Sample], ignored: Counter, meter: Meter) -> None:
    """Write the index of a shard; of samples with the same key the later ones are bad.

    Args:
        path: The index file.
        shown: Name of the shard.
        samples: Its samples.
        ignored: Number of members that are not part of a sample, by suffix.
        meter: Called with the number of samples done since the last call.

    Raises:
        DataError: The shard is damaged.
        PolyclipError: The disk is full.

    """
    names: set[str] = set()
    schema = SCHEMA.with_metadata(
        {"shard": shown, "ignored": json.dumps(dict(sorted(ignored.items())), ensure_ascii=False)}
    )
    workers = min(8, os.cpu_count() or 1)
    with write_atomically(path, what="the index of a shard") as temporary, ThreadPoolExecutor(workers) as pool:
        with pa.OSFile(str(temporary), "wb") as sink, pa.ipc.new_file(sink, schema) as table:
            while window := list(islice(samples, WINDOW)):
                rows = list(pool.map(index_sample, window))
                for row in rows:
                    row.update(mark_bad("duplicate key") if row["key"] in names else {})
                    names.add(row["key"])
                table.write_batch(pa.RecordBatch.from_pylist(rows, schema=schema))
                meter(len(rows))


def index_sample(sample: Sample) -> dict[str, Any]:
    """Make the index row of a sample."""
    row = {"key": sample.key, "first": sample.place[0], "second": sample.place[1], "path": sample.path}
    try:
        captions = check_sample_captions(sample.captions())
        data = sample.data()
        if len(data) > MAX_BYTES:
            raise DataError(f"image of {len(data):,} bytes, at most {MAX_BYTES:,} are read")
        with decode_for_edge(0):
            decode_image(data, "image")
    except DataError as error:
        return row | mark_bad(str(error).removesuffix("."))
    found = [{"language": code, "text": text} for code, text in captions]
    return row | {"digest": hashlib.sha256(data).digest(), "captions": found, "problem": ""}


def mark_bad(problem: str) -> dict[str, Any]:
    """The fields of a sample that cannot be used."""
    return {"digest": bytes(32), "captions": [], "problem": problem}


def read_index(path: Path) -> pa.Table:
    """Map an index from disk.

    Raises:
        DataError: The index is damaged.

    """
    try:
        return pa.ipc.open_file(pa.memory_map(str(path))).read_all()
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} is damaged ({str(error)[:80]}). Run 'polyclip cache clear' and try again.") from error
