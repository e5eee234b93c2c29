"""The index of a shard: each sample's key, place, picture hash and captions, and what is wrong with the bad ones; written once, whole or not at all.

Every picture is decoded once for it, JPEG at an eighth of its size, so that what cannot be read is known before anything is trained.
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

from polyclip.core.storage import writing
from polyclip.data.images import MAX_BYTES, decoded, wanted
from polyclip.data.shards.sample import Sample, checked
from polyclip.errors import DataError

VERSION = "1"  # of what stands in an index
WINDOW = 64  # samples whose pictures are in memory together
CAPTION = pa.struct([("language", pa.string()), ("text", pa.string())])
SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("digest", pa.binary(32)),  # SHA-256 of the picture's bytes; zeros for a bad sample
        ("first", pa.int64()),
        ("second", pa.int64()),
        ("path", pa.string()),
        ("captions", pa.list_(CAPTION)),
        ("problem", pa.string()),  # empty for a good sample
    ]
)
Meter = Callable[[int], None]


def write_index(path: Path, shown: str, samples: Iterator[Sample], ignored: Counter, meter: Meter) -> None:
    """Index of the shard called `shown`; `ignored` counts by suffix what stood beside the samples. Samples of one key are the second one's fault.

    Raises DataError, with the shard, where it is damaged, and PolyclipError on a full disk.
    """
    names: set[str] = set()
    schema = SCHEMA.with_metadata(
        {"shard": shown, "ignored": json.dumps(dict(sorted(ignored.items())), ensure_ascii=False)}
    )
    workers = min(8, os.cpu_count() or 1)
    with writing(path, what="the index of a shard") as temporary, ThreadPoolExecutor(workers) as pool:
        with pa.OSFile(str(temporary), "wb") as sink, pa.ipc.new_file(sink, schema) as table:
            while window := list(islice(samples, WINDOW)):
                rows = list(pool.map(looked_at, window))
                for row in rows:
                    row.update(bad("this key is there twice") if row["key"] in names else {})
                    names.add(row["key"])
                table.write_batch(pa.RecordBatch.from_pylist(rows, schema=schema))
                meter(len(rows))


def looked_at(sample: Sample) -> dict[str, Any]:
    """A row of the index."""
    row = {"key": sample.key, "first": sample.place[0], "second": sample.place[1], "path": sample.path}
    try:
        captions = checked(sample.captions())
        data = sample.data()
        if len(data) > MAX_BYTES:
            raise DataError(f"picture of {len(data):,} bytes, at most {MAX_BYTES:,} are read")
        with wanted(0):
            decoded(data, "picture")
    except DataError as error:
        return row | bad(str(error).removesuffix("."))
    found = [{"language": code, "text": text} for code, text in captions]
    return row | {"digest": hashlib.sha256(data).digest(), "captions": found, "problem": ""}


def bad(problem: str) -> dict[str, Any]:
    """What a sample that cannot be used says of itself."""
    return {"digest": bytes(32), "captions": [], "problem": problem}


def read_index(path: Path) -> pa.Table:
    """The index, mapped from disk.

    Raises DataError where it is damaged.
    """
    try:
        return pa.ipc.open_file(pa.memory_map(str(path))).read_all()
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} is damaged ({str(error)[:80]}). Run 'polyclip cache clear' and try again.") from error
