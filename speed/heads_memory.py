"""Memory of training heads, by the number of pairs: real captions, synthetic features.

    PYTHONPATH=. python -m speed.heads_memory --rows 1000 10000 100000

Each figure is a process of its own; another one has written the index and the features before: captions of the starter
corpus,
numbered, and random features as wide as those of e5-small and EfficientNet-Lite0, whose values do not affect memory.
Then it does what
`polyclip align --method heads` does up to its scores, for one epoch. `--in-memory` takes the code path of corpora
without shards.
"""

import argparse
import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from safetensors.torch import save_file

from polyclip.core.storage import get_cache_folder, write_atomically, write_text
from polyclip.core.toml import CORPORA
from polyclip.data.readers import emoji, webdataset
from polyclip.data.shards.index import SCHEMA
from polyclip.data.shards.scan import FILE
from polyclip.data.shards.schema import ShardOptions
from polyclip.languages.resolve import resolve_language
from polyclip.models import feature_cache
from polyclip.models.config import ModelConfig
from polyclip.training.config import HEADS, AlignConfig
from polyclip.training.prepare import prepare_run, train_run

A_SHARD = 10_000
JUDGES = 100  # images of validation, whatever the rows


def main() -> None:
    """Print one line of JSON for each number of rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--in-memory", action="store_true")
    parser.add_argument("--stage", choices=["make", "train"], help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.stage:
        run_stage(asked.rows[0], train=asked.stage == "train", in_memory=asked.in_memory)
        return
    for rows in asked.rows:
        with tempfile.TemporaryDirectory() as cache:
            for stage in ("make", "train"):
                command = [sys.executable, "-m", "speed.heads_memory", "--rows", str(rows), "--stage", stage]
                subprocess.run(
                    command + (["--in-memory"] if asked.in_memory else []),
                    check=True,
                    env=os.environ | {"POLYCLIP_CACHE": cache},
                )


def run_stage(rows: int, *, train: bool, in_memory: bool) -> None:
    """Write index and features, or train from them and print the cost."""
    folder = get_cache_folder() / "shards" / "corpora" / "made-up"
    if not train:
        write_corpus(folder, rows)
    webdataset.indexed = lambda pack, path, max_bad="": folder
    feature_cache.compute = write_made_up_features
    if in_memory:
        del webdataset.table
    run = AlignConfig(
        languages=[resolve_language("sw")],
        recipe=ModelConfig(vision_tower="efficientnet-lite0", method="heads"),
        out=get_cache_folder() / ("run" if train else "prepared"),
        corpus=str(folder / "made-up.toml"),
        heads=replace(HEADS, epochs=1),
        class_names=False,
    )
    started = time.monotonic()
    work = prepare_run(run)
    seconds = [time.monotonic() - started]
    if train:
        train_run(work)
        seconds.append(time.monotonic() - started - seconds[0])
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # KiB on Linux
        facts = {
            "rows": rows,
            "in_memory": in_memory,
            "peak_mb": round(peak),
            "prepare_s": round(seconds[0], 1),
            "epoch_s": round(seconds[1], 1),
        }
        print(json.dumps(facts), flush=True)  # noqa: T201


def write_made_up_features(tower: Any, missing: Any, what: str, position: int) -> None:
    """Write random features in place of `feature_cache.compute`."""
    generator = torch.Generator().manual_seed(0)
    for chunk, path in missing:
        with write_atomically(path, what="made-up features") as temporary:
            save_file({"vectors": torch.randn(len(chunk), tower.dim, generator=generator)}, temporary)


def write_corpus(folder: Path, rows: int) -> None:
    """Write index and catalogue of samples whose images are never opened."""
    names = [caption for captions in emoji.read_captions(CORPORA / "emoji", "sw").values() for caption in captions]
    indexes, shards = [], []
    for start in range(0, rows, A_SHARD):
        found = [
            make_row(number, f"{names[number % len(names)]} {number}")
            for number in range(start, min(start + A_SHARD, rows))
        ]
        indexes.append(f"shards/indexes/{start:09}.arrow")
        shards.append({"url": f"{start:09}.tar", "token": "", "size": 0})
        with (
            write_atomically(get_cache_folder() / indexes[-1], what="a made-up index") as temporary,
            pa.OSFile(str(temporary), "wb") as sink,
        ):
            with pa.ipc.new_file(sink, SCHEMA) as table:
                table.write_table(pa.Table.from_pylist(found, schema=SCHEMA), max_chunksize=1000)
    stored = ShardOptions(validation=JUDGES / rows, test=JUDGES / rows).model_dump()
    facts = {"reader": "webdataset", "where": "made-up.toml", "stored": stored, "shards": shards, "indexes": indexes}
    write_text(
        folder / FILE,
        json.dumps(facts | {"rows": rows, "bad": 0, "first": [], "ignored": {}}),
        what="a made-up catalogue",
    )
    pack = 'name = "made-up"\nabout = "captions, numbered"\nreader = "webdataset"\nfiles = "none.tar"\n'
    write_text(folder / "made-up.toml", pack, what="a made-up pack")


def make_row(number: int, caption: str) -> dict[str, Any]:
    """Make a row of the index."""
    digest = hashlib.sha256(str(number).encode()).digest()
    captions = [{"language": "sw", "text": caption}]
    return {
        "key": str(number),
        "digest": digest,
        "first": 0,
        "second": 0,
        "path": "",
        "captions": captions,
        "problem": "",
    }


if __name__ == "__main__":
    main()
