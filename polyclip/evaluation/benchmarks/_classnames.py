"""Class names from a file beside the images, in the languages' own words.

`classnames.tsv`: a header `class<TAB>sw<TAB>en`, then one line per class; several names of a class are separated by
`|`, an empty cell means that the language has no name for it. `classnames.json`: {"class": {"sw": ["paka", "nyau"],
"en": "cat"}}. Languages may have any of their codes.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from polyclip.core.json import parse_json
from polyclip.core.storage import read_plain_text
from polyclip.errors import DataError
from polyclip.evaluation.zeroshot import Task
from polyclip.languages.normalize import find_pack, is_visible
from polyclip.languages.resolve import resolve_language
from polyclip.languages.schema import NEUTRAL, Language

FILES = ("classnames.tsv", "classnames.json")
Names = dict[str, dict[str, tuple[str, ...]]]  # language code -> class -> names


def read_classnames(folder: Path) -> Names:
    """Read the class names of a folder.

    Args:
        folder: Folder with classnames.tsv or classnames.json.

    Returns:
        Names by language and class.

    Raises:
        DataError: There is no such file or both, a line is malformed, or a class or language occurs twice.
        UnknownName: A language has no pack.

    """
    found = [folder / name for name in FILES if (folder / name).is_file()]
    if len(found) != 1:
        raise DataError(
            f"{folder} has {'both' if found else 'neither'} {' and '.join(FILES)}; expected one: class folder and its "
            "name in each language."
        )
    table = read_tsv_names(found[0]) if found[0].suffix == ".tsv" else read_json_names(found[0])
    names: Names = {}
    for key, cells in table.items():
        for code, cell in cells.items():
            if cell:
                names.setdefault(code, {})[key] = cell
    if not names:
        raise DataError(f"{found[0]} names no class; expected a line for each class folder.")
    return names


def read_utf8(path: Path) -> str:
    """Read a UTF-8 text file; DataError for another encoding."""
    try:
        return read_plain_text(path, "utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 ({error}); save it as UTF-8.") from error


def read_tsv_names(path: Path) -> dict[str, dict[str, tuple[str, ...]]]:
    """Read classnames.tsv as class -> language -> names."""
    lines = [line for line in read_utf8(path).split("\n") if line.strip()]
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
                f"{path}:{number}: expected a class and at most {len(codes)} names separated by tabs, found "
                f"{line[:60]!r}."
            )
        if key in table:
            raise DataError(
                f"{path}:{number}: class {key!r} is already on an earlier line; put all its names on one, separated "
                "by |."
            )
        table[key] = {
            code: tuple(name.strip() for name in cell.split("|") if is_visible(name))
            for code, cell in zip(codes, cells, strict=False)
        }
    return table


def read_json_names(path: Path) -> dict[str, dict[str, tuple[str, ...]]]:
    """Read classnames.json as class -> language -> names."""
    table = load_json(path)
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
            isinstance(names, list) and all(isinstance(name, str) and is_visible(name) for name in names)
            for _, names in named
        ):
            raise DataError(
                f"{path}: class {key!r}: expected a name or a list of names for each language, none empty, found "
                f"{str(cells)[:60]}."
            )
        found[key] = {code: tuple(names) for code, names in named}
    return found


def load_json(path: Path) -> Any:
    """Load a JSON file; DataError if it is not UTF-8 or not JSON."""
    try:
        return parse_json(read_utf8(path))
    except json.JSONDecodeError as error:
        raise DataError(f"{path} is not JSON ({error}).") from error


def select_codes(names: Names, languages: list[Language], where: str) -> list[str]:
    """Return the codes of the requested languages, by default all.

    Args:
        names: Names by language and class.
        languages: Requested languages.
        where: Where the names are from, for the error message.

    Returns:
        Language codes.

    Raises:
        DataError: A requested language names no class.

    """
    for language in languages:
        if language.code not in names:
            raise DataError(
                f"{where} names no class in {language.name} ({language.code}); it has {', '.join(sorted(names))}."
            )
    return [language.code for language in languages] or sorted(names)


def make_pack_task(code: str, named: Mapping[str, tuple[str, ...]], protocol: str, *, seen: bool) -> Task:
    """Build the task of one language with the prompts of its pack, or the name alone where there is no pack."""
    pack = find_pack(code)
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
