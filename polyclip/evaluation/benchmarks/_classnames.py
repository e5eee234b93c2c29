"""What classes are called: a file beside the pictures, in the language's own words.

`classnames.tsv`: a header `class<TAB>sw<TAB>en`, then one line a class; several names of a class are separated by `|`, an empty cell means
that the language has no name for it. `classnames.json`: {"class": {"sw": ["paka", "nyau"], "en": "cat"}}. Languages by any of their codes.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from polyclip.errors import DataError
from polyclip.evaluation.zeroshot import Task
from polyclip.languages.normalize import pack_of, visible
from polyclip.languages.resolve import resolve_language
from polyclip.languages.schema import NEUTRAL, Language

FILES = ("classnames.tsv", "classnames.json")
Names = dict[str, dict[str, tuple[str, ...]]]  # language code -> class -> names


def read_classnames(folder: Path) -> Names:
    """Names by language and class.

    Raises DataError where there is no such file or two, for a bad line, a class twice and a language named twice; UnknownName for a language
    without a pack.
    """
    found = [folder / name for name in FILES if (folder / name).is_file()]
    if len(found) != 1:
        raise DataError(
            f"{folder} has {'both' if found else 'neither'} {' and '.join(FILES)}; expected one: class folder and its name in each language."
        )
    table = from_tsv(found[0]) if found[0].suffix == ".tsv" else from_json(found[0])
    names: Names = {}
    for key, cells in table.items():
        for code, cell in cells.items():
            if cell:
                names.setdefault(code, {})[key] = cell
    if not names:
        raise DataError(f"{found[0]} names no class; expected a line for each class folder.")
    return names


def text_of(path: Path) -> str:
    """A UTF-8 file.

    Raises DataError for one that is not.
    """
    try:
        return path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 ({error}); save it as UTF-8.") from error


def from_tsv(path: Path) -> dict[str, dict[str, tuple[str, ...]]]:
    """Class -> language -> names."""
    lines = [line for line in text_of(path).split("\n") if line.strip()]
    header = lines[0].rstrip("\r").split("\t") if lines else []
    if len(header) < 2 or header[0] != "class":
        raise DataError(
            f"{path}:1: expected a header 'class<TAB>sw<TAB>en', found {lines[0][:60]!r}."
            if lines
            else f"{path} is empty."
        )
    codes = [resolve_language(name).code for name in header[1:]]
    if len(set(codes)) < len(codes):
        raise DataError(
            f"{path}:1: a language has two columns ({', '.join(codes)}); give it one, with names separated by |."
        )
    table: dict[str, dict[str, tuple[str, ...]]] = {}
    for number, line in enumerate(lines[1:], 2):
        key, *cells = line.rstrip("\r").split("\t")
        if len(cells) > len(codes) or not key.strip():
            raise DataError(
                f"{path}:{number}: expected a class and at most {len(codes)} names separated by tabs, found {line[:60]!r}."
            )
        if key in table:
            raise DataError(
                f"{path}:{number}: class {key!r} is already on an earlier line; put all its names on one, separated by |."
            )
        table[key] = {
            code: tuple(name.strip() for name in cell.split("|") if visible(name))
            for code, cell in zip(codes, cells, strict=False)
        }
    return table


def from_json(path: Path) -> dict[str, dict[str, tuple[str, ...]]]:
    """Class -> language -> names."""
    table = parsed(path)
    if not isinstance(table, dict) or not all(isinstance(cells, dict) for cells in table.values()):
        raise DataError(f'{path}: expected {{"class folder": {{"sw": ["name"]}}}}, found {str(table)[:60]}.')
    found: dict[str, dict[str, tuple[str, ...]]] = {}
    for key, cells in table.items():
        named = [
            (resolve_language(code).code, [cell] if isinstance(cell, str) else cell) for code, cell in cells.items()
        ]
        if len({code for code, _ in named}) < len(named):
            raise DataError(
                f"{path}: class {key!r} names a language twice ({', '.join(cells)}); give it one list of names."
            )
        if not all(
            isinstance(names, list) and all(isinstance(name, str) and visible(name) for name in names)
            for _, names in named
        ):
            raise DataError(
                f"{path}: class {key!r}: expected a name or a list of names for each language, none empty, found {str(cells)[:60]}."
            )
        found[key] = {code: tuple(names) for code, names in named}
    return found


def parsed(path: Path) -> Any:
    """One JSON file.

    Raises DataError for what is not UTF-8 JSON.
    """
    try:
        return json.loads(text_of(path))
    except json.JSONDecodeError as error:
        raise DataError(f"{path} is not JSON ({error}).") from error


def chosen(names: Names, languages: list[Language], where: str) -> list[str]:
    """Codes of the requested languages, or all there are.

    Raises DataError for one that names nothing.
    """
    for language in languages:
        if language.code not in names:
            raise DataError(
                f"{where} names no class in {language.name} ({language.code}); it has {', '.join(sorted(names))}."
            )
    return [language.code for language in languages] or sorted(names)


def pack_task(code: str, named: Mapping[str, tuple[str, ...]], protocol: str, *, seen: bool) -> Task:
    """The classes of one language in the prompts of its pack; in none where it has no pack."""
    pack = pack_of(code)
    prompts, normaliser = (pack.prompts, pack.code) if pack else ([NEUTRAL], "")
    return Task(
        language=code,
        pack=normaliser,
        protocol=protocol,
        classes=list(named),
        names=list(named.values()),
        prompts=prompts,
        seen=seen,
    )
