"""Translations of one's own, from a file: tab-separated `source<TAB>translation` lines, or JSON lines.

Further columns are further candidates. A line of .jsonl is {"source": "a black cat", "translation": "paka mweusi"}, or a list of translations.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from polyclip.core.storage import sha256
from polyclip.errors import DataError
from polyclip.languages.schema import Language
from polyclip.translation.engine import Options, Translator, distinct
from polyclip.translation.engines._tables import lines

CONSTANT = True
LICENCE = "NOASSERTION"
MISSING = "text that the file does not have"
EXPECTED = "expected source<TAB>translation, or in .jsonl an object with source and translation, nothing empty"


def covers(language: Language) -> bool:
    """A file may be in any language."""
    return True


def build(source: Language, target: Language, options: Options) -> Translator:
    """Raises DataError without a file and, with file and line, for one that cannot be read or contradicts itself."""
    path = Path(options.model)
    if not options.model or not path.is_file():
        raise DataError(
            f"Engine file reads translations from the file given as model; {options.model or 'nothing'} is none. Give a .tsv or .jsonl: {EXPECTED}."
        )
    return File(path, read(path), options)


def read(path: Path) -> dict[str, list[str]]:
    """Translations by text; spaces around and between words do not matter.

    Raises DataError, with file and line, for what is not UTF-8, not of the layout, or translated otherwise on an earlier line.
    """
    found: dict[str, list[str]] = {}
    first: dict[str, int] = {}
    for number, text, translations in entries(path):
        source = " ".join(text.split())
        kept = distinct(translations)
        if found.setdefault(source, kept) != kept:
            raise DataError(
                f"{path}:{number}: {source[:60]!r} is translated as {kept[0][:60]!r} here and as {found[source][0][:60]!r} on line {first[source]}; "
                "put several translations of a text on one line."
            )
        first.setdefault(source, number)
    if not found:
        raise DataError(f"{path} is empty; {EXPECTED}.")
    return found


def entries(path: Path) -> Iterator[tuple[int, str, list[str]]]:
    """Line, source text and translations."""
    for number, line in lines(path):
        if not line.strip():
            continue
        source, translations = (
            parse(line, f"{path}:{number}") if path.suffix == ".jsonl" else (line.split("\t")[0], line.split("\t")[1:])
        )
        if not source.strip() or not translations or not all(text.strip() for text in translations):
            raise DataError(f"{path}:{number}: {EXPECTED}; found {line[:60]!r}.")
        yield number, source, translations


def parse(line: str, where: str) -> tuple[str, list[str]]:
    """Source and translations of a JSON line."""
    try:
        entry = json.loads(line)
    except json.JSONDecodeError as error:
        raise DataError(f"{where}: not JSON ({error}).") from error
    if not isinstance(entry, dict) or entry.keys() != {"source", "translation"}:
        raise DataError(f"{where}: {EXPECTED}; found {line[:60]!r}.")
    given = entry["translation"] if isinstance(entry["translation"], list) else [entry["translation"]]
    if not all(isinstance(text, str) for text in (entry["source"], *given)):
        raise DataError(f"{where}: source and translation must be text; found {line[:60]!r}.")
    return entry["source"], given


class File:
    """Translations that are there already. `missing` lists the texts it was asked for and does not have, each once."""

    def __init__(self, path: Path, table: dict[str, list[str]], options: Options) -> None:
        self.name = f"file-{path.stem}@{sha256(path)[:12]}"
        self.table, self.most = table, options.candidates
        self.missing: list[str] = []
        self.refused: Counter[str] = Counter()

    def translate(self, texts: Sequence[str]) -> list[list[str]]:
        """What the file has, at most `candidates` of each text."""
        wanted = [" ".join(text.split()) for text in texts]
        absent = [text for text in wanted if text not in self.table]
        self.missing = list(dict.fromkeys([*self.missing, *absent]))
        self.refused[MISSING] += len(absent)
        return [self.table.get(text, [])[: self.most] for text in wanted]
