"""A corpus in shards as one folder of the cache: which shards it has, and where the index of each is.

The folder's name is the hash of all that decides what is read, so that it never changes once it is written.
"""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import pyarrow.compute as pc

from polyclip.core.progress import Progress, console
from polyclip.core.registry import find
from polyclip.core.storage import cache_folder, digest, write_text
from polyclip.data.corpus import CorpusPack
from polyclip.data.shards.filesystem import Shard
from polyclip.data.shards.index import VERSION, read_index, write_index
from polyclip.data.shards.sample import Sample
from polyclip.data.shards.schema import Stored, share_of
from polyclip.errors import DataError

FILE, ALLOWED = "catalogue.json", "max-bad.txt"
NAMED = 5  # bad samples in an error


class Format(Protocol):
    """What a reader of shards offers beside the functions of every reader."""

    def located(self, pack: CorpusPack, base: Path) -> list[Shard]:
        """The shards of a pack."""

    def local(self, shard: Shard) -> Path:
        """The shard's file on this machine."""

    def samples(self, shard: Shard, stored: Stored) -> tuple[Iterator[Sample], Counter]:
        """Its samples, and by suffix or column how much stands there that is none."""

    def content(self, shard: Shard, place: tuple[int, int], path: str) -> bytes:
        """Bytes of one picture."""


@dataclass(frozen=True)
class Catalogue:
    """What stands in the file."""

    reader: str
    where: str  # the pack
    stored: Stored
    shards: list[Shard]
    indexes: list[str]  # files below the cache, one for each shard
    rows: int  # samples
    bad: int
    first: list[str]  # of the bad ones, with shard, key and what is wrong
    ignored: dict[str, int]  # suffix -> members that are no part of a sample


def indexed(pack: CorpusPack, path: Path, max_bad: str = "") -> Path:
    """The folder that stands for a corpus in shards; every shard that was not indexed before is.

    `max_bad` allows more bad samples than the pack does, from now on.
    Raises DataError where more are bad, naming the first, and what the reader raises.
    """
    shards = _located(pack.model_dump_json(), path)
    kinds = pack.shards.model_dump(exclude={"validation", "test", "max_bad"})
    keys = [digest(VERSION, pack.reader, json.dumps(kinds, sort_keys=True), shard.key)[:32] for shard in shards]
    folder = cache_folder() / "shards" / "corpora" / digest(str(path), pack.shards.model_dump_json(), *keys)[:32]
    indexes = [f"shards/indexes/{key}.arrow" for key in keys]
    missing = [
        (shard, cache_folder() / index)
        for shard, index in zip(shards, indexes, strict=True)
        if not (cache_folder() / index).is_file()
    ]
    if missing:
        build(find("readers", pack.reader), pack.shards, missing)
    if missing or not (folder / FILE).is_file():
        found = counted(Catalogue(pack.reader, str(path), pack.shards, shards, indexes, 0, 0, [], {}))
        facts = asdict(found) | {"stored": found.stored.model_dump()}
        write_text(folder / FILE, json.dumps(facts, ensure_ascii=False, indent=1), what="a catalogue of shards")
        console.print(told(found, pack.name), markup=False, highlight=False, soft_wrap=True)
    if max_bad:
        share_of(max_bad)
        write_text(folder / ALLOWED, max_bad, what="how many samples may be bad")
    check(read_catalogue(folder), folder)
    return folder


@cache
def _located(pack: str, path: Path) -> list[Shard]:
    """Asked once in a process: a command that looks a corpus up ten times asks the store of its shards once."""
    found = CorpusPack.model_validate_json(pack)
    shards: list[Shard] = find("readers", found.reader).located(found, path.parent)
    return shards


def build(reader: Any, stored: Stored, missing: list[tuple[Shard, Path]]) -> None:
    """Index shard by shard; each is kept as soon as it is whole, so that an interrupted command goes on with the next."""
    done = 0
    with Progress("indexing shards", len(missing)) as progress:

        def read(rows: int) -> None:
            nonlocal done
            done += rows
            progress.note = f"{done:,} samples"

        for shard, path in missing:
            samples, ignored = reader.samples(shard, stored)
            write_index(path, shard.url, samples, ignored, read)
            progress.advance(1)


def counted(catalogue: Catalogue) -> Catalogue:
    """The same, with what its indexes hold."""
    rows, wrong = 0, 0
    first: list[str] = []
    ignored: Counter = Counter()
    for shard, file in zip(catalogue.shards, catalogue.indexes, strict=True):
        table = read_index(cache_folder() / file)
        problems = table.filter(pc.field("problem") != "").select(["key", "problem"])
        rows, wrong = rows + len(table), wrong + len(problems)
        first += [
            f"{shard.url}, sample {row['key']}: {row['problem']}"
            for row in problems.slice(0, NAMED - len(first)).to_pylist()
        ]
        ignored.update(json.loads(table.schema.metadata[b"ignored"]))
    return replace(catalogue, rows=rows, bad=wrong, first=first, ignored=dict(ignored))


def told(found: Catalogue, name: str) -> str:
    """One line on what was found."""
    aside = ", ".join(f"{count:,} {suffix}" for suffix, count in sorted(found.ignored.items()))
    named = f"; the first: {'; '.join(found.first)}" if found.first else ""
    return f"corpus {name}: {len(found.shards):,} shards, {found.rows:,} samples, {found.bad:,} bad{named}{f'; not read: {aside}' if aside else ''}"


def read_catalogue(folder: Path) -> Catalogue:
    """What was written there.

    Raises DataError where it is damaged.
    """
    try:
        facts = json.loads((folder / FILE).read_text("utf-8"))
        return Catalogue(
            **facts | {"stored": Stored(**facts["stored"]), "shards": [Shard(**shard) for shard in facts["shards"]]}
        )
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(f"{folder / FILE} is damaged ({error}). Run 'polyclip cache clear' and try again.") from error


def check(found: Catalogue, folder: Path) -> None:
    """Raises DataError for a corpus without a good sample, and for more bad ones than are allowed."""
    allowed = max(
        share_of(text)
        for text in (
            found.stored.max_bad,
            *((folder / ALLOWED).read_text("utf-8") for _ in "1" if (folder / ALLOWED).is_file()),
        )
    )
    if found.rows == found.bad:
        raise DataError(
            f"{found.where}: none of {found.rows:,} samples can be used{'; the first: ' + '; '.join(found.first) if found.first else ''}."
        )
    if found.bad > allowed * found.rows:
        raise DataError(
            f"{found.where}: {found.bad:,} of {found.rows:,} samples are bad ({found.bad / found.rows:.3%}), at most {allowed:.3%} may be. "
            f"The first: {'; '.join(found.first)}. Mend them, or allow more with --max-bad {found.bad / found.rows * 100 + 0.05:.1f}%."
        )
