"""Cache of translations: an interrupted command continues, and a repeated one translates nothing."""

import json
import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from polyclip.core import distributed
from polyclip.core.json import parse_json
from polyclip.core.progress import Progress
from polyclip.core.storage import get_cache_folder, hash_parts
from polyclip.errors import PolyclipError
from polyclip.languages.schema import Language
from polyclip.translation.engine import TranslationOptions, Translator

WAIT = 60.0  # seconds for another process that writes
SPEED = ("batch_size",)  # options that change how fast, not what


class TranslationCache:
    """One SQLite file for each engine, direction and choice of options.

    A sentence is stored once and with all its candidates, or not at all.

    Args:
        name: Name of the engine, with model and revision.
        source: The source language.
        target: The target language.
        options: The engine's options; those that change only the speed do not count.

    """

    def __init__(self, name: str, source: Language, target: Language, options: TranslationOptions) -> None:
        chosen = {key: value for key, value in asdict(options).items() if key not in SPEED}
        key = hash_parts(name, source.code, target.code, json.dumps(chosen, sort_keys=True), fingerprint(options.model))
        readable = re.sub(r"[^A-Za-z0-9.-]+", "-", name)[:60]
        self.path = get_cache_folder() / "translations" / f"{readable}-{source.code}-{target.code}-{key[:16]}.sqlite"

    @contextmanager
    def open(self) -> Iterator[sqlite3.Connection]:
        """Open the cache.

        Raises:
            PolyclipError: The file is damaged, or the disk is full.

        """
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
                f"Cannot use the translation cache {self.path}: {error}. Free some space or name another cache folder "
                "(POLYCLIP_CACHE); "
                "if the file is damaged, remove it and run the same command again."
            ) from error

    def look_up(self, sentences: Sequence[str]) -> dict[str, list[str]]:
        """Look up the candidates of the sentences that were translated before."""
        with self.open() as table:
            found = dict(table.execute("SELECT sentence, candidates FROM translations"))
        return {sentence: parse_json(found[sentence]) for sentence in sentences if sentence in found}

    def keep(self, found: Mapping[str, list[str]]) -> None:
        """Store the candidates of sentences: all of them or, where the process is killed meanwhile, none."""
        rows = [(sentence, json.dumps(candidates, ensure_ascii=False)) for sentence, candidates in found.items()]
        with self.open() as table, table:
            table.executemany("INSERT OR IGNORE INTO translations VALUES (?, ?)", rows)


def fingerprint(model: str) -> str:
    """Hash the names, sizes and times of a file or folder; empty for other names.

    A changed dictionary so counts as another one.
    """
    path = Path(model)
    if not model or not path.exists():
        return ""
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    facts = [(file, file.stat()) for file in files if file.is_file()]
    return hash_parts(*(f"{file.relative_to(path)} {stat.st_size} {stat.st_mtime_ns}" for file, stat in facts))


def translate_cached(
    engine: Translator, memory: TranslationCache, sentences: Sequence[str], label: str, size: int
) -> tuple[dict[str, list[str]], int]:
    """Translate every distinct sentence that is not in the cache, batch by batch, each batch by one process.

    Args:
        engine: The translation engine.
        memory: Its cache.
        sentences: Texts in the source language.
        label: Label of the progress bar.
        size: Sentences a batch; each batch is stored at once.

    Returns:
        Candidates by sentence, and how many sentences were in the cache.

    Raises:
        PolyclipError: The engine does not answer for each sentence, or the cache cannot be used.

    """
    wanted = list(dict.fromkeys(sentences))
    found = memory.look_up(wanted)
    missing = sorted(
        (sentence for sentence in wanted if sentence not in found), key=lambda sentence: (len(sentence), sentence)
    )
    missing = distributed.broadcast(missing)  # another process may have stored some meanwhile
    if not missing:
        return reload_known(memory, found, wanted), len(wanted)
    batches = distributed.share_items([missing[start : start + size] for start in range(0, len(missing), size)])
    with Progress(label, sum(map(len, batches))) as progress:
        for batch in batches:
            answers = engine.translate(batch)
            if len(answers) != len(batch):
                raise PolyclipError(
                    f"Engine {engine.name} gave {len(answers)} answers for {len(batch)} sentences; it breaks the "
                    "contract of an engine."
                )
            memory.keep(dict(zip(batch, answers, strict=True)))
            found |= zip(batch, answers, strict=True)
            progress.advance(len(batch))
    distributed.wait()
    return reload_known(memory, found, wanted), len(wanted) - len(missing)


def reload_known(memory: TranslationCache, found: dict[str, list[str]], wanted: Sequence[str]) -> dict[str, list[str]]:
    """Return what this process translated and, with several processes, what the others added."""
    return memory.look_up(wanted) if distributed.get_world_size() > 1 else found
