"""Translations already made: an interrupted command goes on where it was, and the same command again translates nothing."""

import json
import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from polyclip.core import distributed
from polyclip.core.progress import Progress
from polyclip.core.storage import cache_folder, digest
from polyclip.errors import PolyclipError
from polyclip.languages.schema import Language
from polyclip.translation.engine import Options, Translator

WAIT = 60.0  # seconds for another process that writes
SPEED = ("batch_size",)  # options that change how fast, not what


class Memory:
    """One SQLite file for each engine, direction and choice of options; a sentence is in it once and with all its candidates, or not at all."""

    def __init__(self, name: str, source: Language, target: Language, options: Options) -> None:
        chosen = {key: value for key, value in asdict(options).items() if key not in SPEED}
        key = digest(name, source.code, target.code, json.dumps(chosen, sort_keys=True), fingerprint(options.model))
        readable = re.sub(r"[^A-Za-z0-9.-]+", "-", name)[:60]
        self.path = cache_folder() / "translations" / f"{readable}-{source.code}-{target.code}-{key[:16]}.sqlite"

    @contextmanager
    def open(self) -> Iterator[sqlite3.Connection]:
        """A connection; raises PolyclipError on a damaged file or a full disk."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            table = sqlite3.connect(self.path, timeout=WAIT)
            try:
                table.execute(
                    "CREATE TABLE IF NOT EXISTS translations (sentence TEXT PRIMARY KEY, candidates TEXT NOT NULL)"
                )
                yield table
            finally:
                table.close()
        except (sqlite3.Error, OSError) as error:
            raise PolyclipError(
                f"Cannot use the translations kept in {self.path}: {error}. Free some space or name another cache folder (POLYCLIP_CACHE); "
                "if the file is damaged, remove it and run the same command again."
            ) from error

    def known(self, sentences: Sequence[str]) -> dict[str, list[str]]:
        """Candidates of the sentences that were translated before."""
        with self.open() as table:
            found = dict(table.execute("SELECT sentence, candidates FROM translations"))
        return {sentence: json.loads(found[sentence]) for sentence in sentences if sentence in found}

    def keep(self, found: Mapping[str, list[str]]) -> None:
        """Add sentences: all of them or, where the process is killed meanwhile, none."""
        rows = [(sentence, json.dumps(candidates, ensure_ascii=False)) for sentence, candidates in found.items()]
        with self.open() as table, table:
            table.executemany("INSERT OR IGNORE INTO translations VALUES (?, ?)", rows)


def fingerprint(model: str) -> str:
    """Of a file or folder: names, sizes and times, so that a changed dictionary is not taken for the old one; empty for other names."""
    path = Path(model)
    if not model or not path.exists():
        return ""
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    facts = [(file, file.stat()) for file in files if file.is_file()]
    return digest(*(f"{file.relative_to(path)} {stat.st_size} {stat.st_mtime_ns}" for file, stat in facts))


def translated(
    engine: Translator, memory: Memory, sentences: Sequence[str], label: str, size: int
) -> tuple[dict[str, list[str]], int]:
    """Candidates of every distinct sentence, and how many of them were kept from before; what is new is kept batch by batch, each by one process.

    Raises PolyclipError where an engine does not answer for each sentence.
    """
    wanted = list(dict.fromkeys(sentences))
    found = memory.known(wanted)
    missing = sorted(
        (sentence for sentence in wanted if sentence not in found), key=lambda sentence: (len(sentence), sentence)
    )
    missing = distributed.agreed(missing)  # another process may have kept some meanwhile
    if not missing:
        return known_now(memory, found, wanted), len(wanted)
    batches = distributed.share([missing[start : start + size] for start in range(0, len(missing), size)])
    with Progress(label, sum(map(len, batches))) as progress:
        for batch in batches:
            answers = engine.translate(batch)
            if len(answers) != len(batch):
                raise PolyclipError(
                    f"Engine {engine.name} gave {len(answers)} answers for {len(batch)} sentences; it breaks the contract of an engine."
                )
            memory.keep(dict(zip(batch, answers, strict=True)))
            found |= zip(batch, answers, strict=True)
            progress.advance(len(batch))
    distributed.wait()
    return known_now(memory, found, wanted), len(wanted) - len(missing)


def known_now(memory: Memory, found: dict[str, list[str]], wanted: Sequence[str]) -> dict[str, list[str]]:
    """What this process found, and what others have added."""
    return memory.known(wanted) if distributed.count() > 1 else found
