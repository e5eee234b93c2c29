"""A corpus in shards as one folder of the cache: its shards, and the index of each.

The folder's name is the hash of everything that decides what is read, so that it never changes once it is written.
"""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import pyarrow.compute as pc

from polyclip.core.json import parse_json
from polyclip.core.progress import Progress, console
from polyclip.core.registry import find
from polyclip.core.storage import get_cache_folder, hash_parts, write_text
from polyclip.data.corpus_pack import CorpusPack
from polyclip.data.shards.filesystem import Shard
from polyclip.data.shards.index import VERSION, read_index, write_index
from polyclip.data.shards.sample import Sample
from polyclip.data.shards.schema import ShardOptions, parse_share
from polyclip.errors import DataError

FILE, ALLOWED = "catalogue.json", "max-bad.txt"
NAMED = 5  # bad samples in an error
KINDS = 8  # of members that are not read, in a message


class Format(Protocol):
    """What a reader of shards offers besides the functions of every reader (`polyclip.data.readers`)."""

    def located(self, pack: CorpusPack, base: Path) -> list[Shard]:
        """List the shards of a pack.

        Args:
            pack: The corpus pack.
            base: The pack's folder, from which relative paths are taken.

        """

    def local(self, shard: Shard) -> Path:
        """Return the shard's file on this machine."""

    def samples(self, shard: Shard, stored: ShardOptions) -> tuple[Iterator[Sample], Counter]:
        """Iterate over a shard's samples, and count what is not part of a sample, by suffix or column.

        Args:
            shard: The shard.
            stored: [shards] of the pack.

        """

    def content(self, shard: Shard, place: tuple[int, int], path: str) -> bytes:
        """Read the bytes of one image.

        Args:
            shard: The shard.
            place: The sample's two numbers, as `samples` gave them.
            path: The sample's path, as `samples` gave it.

        """


@dataclass(frozen=True)
class Catalogue:
    """The content of catalogue.json: a corpus' shards, indexes and counts."""

    reader: str
    where: str  # the pack
    stored: ShardOptions
    shards: list[Shard]
    indexes: list[str]  # files below the cache, one for each shard
    rows: int  # samples
    bad: int
    first: list[str]  # of the bad ones, with shard, key and what is wrong
    ignored: dict[str, int]  # suffix -> members that are no part of a sample


def indexed(pack: CorpusPack, path: Path, max_bad: str = "") -> Path:
    """Return the cache folder of a corpus in shards; shards without an index are indexed first.

    Args:
        pack: The corpus pack.
        path: Its file.
        max_bad: Share of bad samples to allow from now on, such as `0.1%`; empty keeps the pack's.

    Returns:
        The folder.

    Raises:
        DataError: More samples are bad (the message names the first), or the reader finds a shard damaged.
        PackError: The pack's patterns are invalid.

    """
    shards = _located(pack.model_dump_json(), path)
    kinds = pack.shards.model_dump(exclude={"validation", "test", "max_bad"})
    keys = [hash_parts(VERSION, pack.reader, json.dumps(kinds, sort_keys=True), shard.key)[:32] for shard in shards]
    folder = (
        get_cache_folder() / "shards" / "corpora" / hash_parts(str(path), pack.shards.model_dump_json(), *keys)[:32]
    )
    indexes = [f"shards/indexes/{key}.arrow" for key in keys]
    missing = [
        (shard, get_cache_folder() / index)
        for shard, index in zip(shards, indexes, strict=True)
        if not (get_cache_folder() / index).is_file()
    ]
    if missing:
        build_indexes(find("readers", pack.reader), pack.shards, missing)
    if missing or not (folder / FILE).is_file():
        found = count_samples(Catalogue(pack.reader, str(path), pack.shards, shards, indexes, 0, 0, [], {}))
        facts = asdict(found) | {"stored": found.stored.model_dump()}
        write_text(folder / FILE, json.dumps(facts, ensure_ascii=False, indent=1), what="a catalogue of shards")
        console.print(format_catalogue(found, pack.name), highlight=False, soft_wrap=True)
    if max_bad:
        parse_share(max_bad)
        write_text(folder / ALLOWED, max_bad, what="how many samples may be bad")
    check_bad_samples(read_catalogue(folder), folder)
    return folder


@cache
def _located(pack: str, path: Path) -> list[Shard]:
    """Locate the shards once in a process, however often a command loads the corpus."""
    found = CorpusPack.model_validate_json(pack)
    shards: list[Shard] = find("readers", found.reader).located(found, path.parent)
    return shards


def build_indexes(reader: Any, stored: ShardOptions, missing: list[tuple[Shard, Path]]) -> None:
    """Index shard by shard; each index is kept as soon as it is whole, so that an interrupted command continues."""
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


def count_samples(catalogue: Catalogue) -> Catalogue:
    """Fill in the counts of a catalogue from its indexes."""
    rows, wrong = 0, 0
    first: list[str] = []
    ignored: Counter = Counter()
    for shard, file in zip(catalogue.shards, catalogue.indexes, strict=True):
        table = read_index(get_cache_folder() / file)
        problems = table.filter(pc.field("problem") != "").select(["key", "problem"])
        rows, wrong = rows + len(table), wrong + len(problems)
        first += [
            f"{shard.url}, sample {row['key']}: {row['problem']}"
            for row in problems.slice(0, NAMED - len(first)).to_pylist()
        ]
        ignored.update(parse_json(table.schema.metadata[b"ignored"]))
    return replace(catalogue, rows=rows, bad=wrong, first=first, ignored=dict(ignored))


def format_catalogue(found: Catalogue, name: str) -> str:
    """Summarise a catalogue in one line."""
    aside = format_ignored(found.ignored)
    named = f"; the first: {'; '.join(found.first)}" if found.first else ""
    ignored = f"; not read: {aside}" if aside else ""
    return f"corpus {name}: {len(found.shards):,} shards, {found.rows:,} samples, {found.bad:,} bad{named}{ignored}"


def format_ignored(ignored: dict[str, int]) -> str:
    """Summarise what is not read: the most frequent kinds, and how many files of how many others."""
    order = sorted(ignored, key=lambda kind: (-ignored[kind], kind))
    said = [f"{ignored[kind]:,} {kind}" for kind in sorted(order[:KINDS])]
    rest = order[KINDS:]
    return ", ".join(
        [*said, *([f"{sum(ignored[kind] for kind in rest):,} of {len(rest)} other kinds"] if rest else [])]
    )


def read_catalogue(folder: Path) -> Catalogue:
    """Read the catalogue of a corpus' cache folder.

    Raises:
        DataError: The catalogue is damaged.

    """
    try:
        facts = parse_json((folder / FILE).read_text("utf-8"))
        return Catalogue(
            **facts
            | {"stored": ShardOptions(**facts["stored"]), "shards": [Shard(**shard) for shard in facts["shards"]]}
        )
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(f"{folder / FILE} is damaged ({error}). Run 'polyclip cache clear' and try again.") from error


def check_bad_samples(found: Catalogue, folder: Path) -> None:
    """Check that a corpus has good samples, and no more bad ones than are allowed.

    Raises:
        DataError: No sample is good, or too many are bad.

    """
    allowed = max(
        parse_share(text)
        for text in (
            found.stored.max_bad,
            *((folder / ALLOWED).read_text("utf-8") for _ in "1" if (folder / ALLOWED).is_file()),
        )
    )
    if found.rows == found.bad:
        raise DataError(
            f"{found.where}: none of {found.rows:,} samples can be "
            f"used{'; the first: ' + '; '.join(found.first) if found.first else ''}."
        )
    if found.bad > allowed * found.rows:
        raise DataError(
            f"{found.where}: {found.bad:,} of {found.rows:,} samples are bad ({found.bad / found.rows:.3%}), at most "
            f"{allowed:.3%} may be. "
            f"The first: {'; '.join(found.first)}. Fix them, or allow more: 'polyclip align --max-bad "
            f"{found.bad / found.rows * 100 + 0.05:.1f}%', or max_bad in the pack."
        )
