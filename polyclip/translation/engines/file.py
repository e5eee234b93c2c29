"""Translations of your own, from a file: tab-separated `source<TAB>translation` lines, or JSON lines.

Further columns are further candidates. A line of .jsonl is {"source": "a black cat", "translation": "paka mweusi"}, or
has a list of translations.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from polyclip.core.json import parse_json
from polyclip.core.storage import hash_file
from polyclip.errors import DataError
from polyclip.languages.schema import Language
from polyclip.translation.engine import TranslationOptions, Translator, deduplicate
from polyclip.translation.engines._tables import read_lines

CONSTANT = True
LICENCE = "NOASSERTION"
MISSING = "text that the file does not have"
EXPECTED = "expected source<TAB>translation, or in .jsonl an object with source and translation, nothing empty"


def covers(language: Language) -> bool:
    """True: a file may be in any language."""
    return True


def build(source: Language, target: Language, options: TranslationOptions) -> Translator:
    """Build the engine of a file.

    Raises:
        DataError: No file was given, it cannot be read, or it contradicts itself; with file and line.

    """
    path = Path(options.model)
    if not options.model or not path.is_file():
        raise DataError(
            f"Engine file reads translations from the file given as model; {options.model or 'nothing'} is not a "
            f"file. Give a .tsv or .jsonl: {EXPECTED}."
        )
    return FileTranslator(path, read_translations(path), options)


def read_translations(path: Path) -> dict[str, list[str]]:
    """Read translations by text; spaces around and between words do not matter.

    Raises:
        DataError: The file is not UTF-8, has another layout, or translates a text differently on an earlier line; with
            file and line.

    """
    found: dict[str, list[str]] = {}
    first: dict[str, int] = {}
    for number, text, translations in read_entries(path):
        source = " ".join(text.split())
        kept = deduplicate(translations)
        if found.setdefault(source, kept) != kept:
            raise DataError(
                f"{path}:{number}: {source[:60]!r} is translated as {kept[0][:60]!r} here and as "
                f"{found[source][0][:60]!r} on line {first[source]}; "
                "put several translations of a text on one line."
            )
        first.setdefault(source, number)
    if not found:
        raise DataError(f"{path} is empty; {EXPECTED}.")
    return found


def read_entries(path: Path) -> Iterator[tuple[int, str, list[str]]]:
    """Read line number, source text and translations.

    Raises:
        DataError: A line has another layout; with file and line.

    """
    for number, line in read_lines(path):
        if not line.strip():
            continue
        source, translations = (
            parse_line(line, f"{path}:{number}")
            if path.suffix == ".jsonl"
            else (line.split("\t")[0], line.split("\t")[1:])
        )
        if not source.strip() or not translations or not all(text.strip() for text in translations):
            raise DataError(f"{path}:{number}: {EXPECTED}; found {line[:60]!r}.")
        yield number, source, translations


def parse_line(line: str, where: str) -> tuple[str, list[str]]:
    """Parse source and translations of a JSON line.

    Raises:
        DataError: The line has another layout; with file and line.

    """
    try:
        entry = parse_json(line)
    except json.JSONDecodeError as error:
        raise DataError(f"{where}: not JSON ({error}).") from error
    if not isinstance(entry, dict) or entry.keys() != {"source", "translation"}:
        raise DataError(f"{where}: {EXPECTED}; found {line[:60]!r}.")
    given = entry["translation"] if isinstance(entry["translation"], list) else [entry["translation"]]
    if not all(isinstance(text, str) for text in (entry["source"], *given)):
        raise DataError(f"{where}: source and translation must be text; found {line[:60]!r}.")
    return entry["source"], given


class FileTranslator:
    """Translations from a file; `missing` lists the texts that it lacks, each once."""

    def __init__(self, path: Path, table: dict[str, list[str]], options: TranslationOptions) -> None:
        self.name = f"file-{path.stem}@{hash_file(path)[:12]}"
        self.table, self.most = table, options.candidates
        self.missing: list[str] = []
        self.refused: Counter[str] = Counter()

    def translate(self, texts: Sequence[str]) -> list[list[str]]:
        """Look up texts; each has at most `candidates` translations."""
        wanted = [" ".join(text.split()) for text in texts]
        absent = [text for text in wanted if text not in self.table]
        self.missing = list(dict.fromkeys([*self.missing, *absent]))
        self.refused[MISSING] += len(absent)
        return [self.table.get(text, [])[: self.most] for text in wanted]
