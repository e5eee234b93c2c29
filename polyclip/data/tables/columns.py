"""Which column of a table names the images, and which hold captions in which language."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from polyclip.data.images import SUFFIXES
from polyclip.data.tables.table import Table
from polyclip.errors import DataError, PolyclipError, UnknownName
from polyclip.languages.identify import load_identifier
from polyclip.languages.normalize import find_pack
from polyclip.languages.resolve import resolve_language

IMAGES = frozenset(
    "image images img file filename file_name filepath path picture photo image_name image_file foto picha hoto bild "
    "datei fichier imagen archivo imagem arquivo".split()
)
CAPTIONS = ("caption", "captions", "text", "title", "description", "sentence", "comment", "raw", "alt", "label", "name")
PART = re.compile(
    r"(?:(?:captions?|text|title|description|label)[_ -])?(.+?)(?:[_ -]?(?:captions?|\d+))?", re.IGNORECASE
)
FILE = re.compile(rf".*(?:{'|'.join(map(re.escape, sorted(SUFFIXES)))}|\.svg|\.heic|\.avif)", re.IGNORECASE)
NOT_CAPTION = re.compile(r"[\d\s.,:/+%-]+(?:T[\d:.]+)?|TRUE|FALSE|#[A-Z/0?!]+[!?]?|=.*", re.DOTALL)
SAMPLE = 500  # rows by which a column is judged
MOST = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Places of a table's columns.

    Attributes:
        image: The column that names the images.
        captions: Columns of captions, by language code.
        split: The column that names the split; None for none.

    """

    image: int
    captions: dict[str, list[int]]
    split: int | None


def find_columns(
    table: Table,
    image: str | None = None,
    captions: Mapping[str, str | Sequence[str]] | None = None,
    split: str | None = None,
    language: str = "",
) -> Columns:
    """Find the columns that were asked for, and guess the others from their names and cells.

    Args:
        table: The table.
        image: Column that names the images.
        captions: Columns of captions by language; an empty name is the only column of captions.
        split: Column that says train, validation or test; by default one called `split`.
        language: Language of the only column of captions, where none is named as a language.

    Returns:
        The columns.

    Raises:
        DataError: A column cannot be guessed, two are named as one language, or it holds no captions.
        UnknownName: There is no such column, or no pack for a language.

    """
    place = find_image_column(table, image)
    said = split or next((name for name in table.header if name.lower() == "split"), None)
    where = find_column(table, said) if said is not None else None
    used = {place, where}
    found = choose_captions(table, captions, used) if captions else guess_captions(table, used, language)
    for code, columns in found.items():
        for column in columns:
            check_captions(table, code, column)
    return Columns(image=place, captions=found, split=where)


def find_column(table: Table, name: str) -> int:
    """The place of a column; case does not matter where no two names differ by it alone."""
    if name in table.header:
        return table.header.index(name)
    same = [place for place, other in enumerate(table.header) if other.casefold() == name.strip().casefold()]
    if len(same) != 1:
        raise UnknownName(f"column in {table.path}", name, table.header)
    return same[0]


def find_image_column(table: Table, asked: str | None) -> int:
    """The column that names the images: the one asked for, the one with a usual name, or with names of files."""
    if asked is not None:
        return find_column(table, asked)
    if any(FILE.fullmatch(name) for name in table.header):
        raise DataError(
            f"{table.path} has no header: its first row is {', '.join(table.header)[:80]!r}. Write a row above it that "
            "names the columns, such as image, sw, en."
        )
    files = [place for place in range(len(table.header)) if share_of(table, place, FILE) > MOST]
    usual = [place for place, name in enumerate(table.header) if re.sub(r"[\s-]", "_", name.lower()) in IMAGES]
    for found in ([place for place in usual if place in files], files, usual):
        if len(found) == 1:
            return found[0]
    what = "several columns could name" if files or usual else "no column names"
    raise DataError(
        f"{table.path}: {what} the images; its columns are {', '.join(table.header)}. Say which, with --image-column "
        "(image_column in Python)."
    )


def share_of(table: Table, place: int, pattern: re.Pattern[str]) -> float:
    """Share of a column's filled cells that match, among the first rows."""
    cells = [row[place] for row in table.rows[:SAMPLE] if row[place]]
    return sum(pattern.fullmatch(cell) is not None for cell in cells) / len(cells) if cells else 0.0


def guess_captions(table: Table, used: set[int | None], language: str = "") -> dict[str, list[int]]:
    """Columns that are named as a language and hold text; where there are none, the only one, in this language."""
    found: dict[str, list[int]] = {}
    for place, name in enumerate(table.header):
        if place not in used and share_of(table, place, NOT_CAPTION) <= MOST and (code := code_of(name)):
            found.setdefault(code, []).append(place)
    for code, places in found.items():
        if len(places) > 1:
            raise explain_twice(table, code, places)
    if not found and language:
        return choose_captions(table, {language: ""}, used)
    if not found:
        raise explain_none(table, used)
    return found


def explain_none(table: Table, used: set[int | None]) -> DataError:
    """Explain that no column is named as a language, or that the one that is has no captions."""
    named = ((code_of(name), place) for place, name in enumerate(table.header) if place not in used)
    for code, place in named if not list_text_columns(table, used) else ():
        if code:
            check_captions(table, code, place)
    return DataError(
        f"{table.path}: none of the columns {', '.join(table.header)} is named as a language. {hint(table, used)}"
    )


def explain_twice(table: Table, code: str, places: Sequence[int]) -> DataError:
    """Explain that several columns are named as one language, and how to choose."""
    names = [table.header[place] for place in places]
    asked = " ".join(f"--lang {code}={name}" for name in names)
    every, some = ("both", "one of them or both") if len(names) == 2 else ("all", "one or several of them")
    return DataError(
        f"{table.path}: columns {' and '.join(map(repr, names))} are {every} named as {resolve_language(code).name}. "
        f"Say which has its captions: {asked}, {some}."
    )


def explain_formulas(table: Table) -> str:
    """The remark on formulas without a value, where a table has such; they may be why a column is empty."""
    return next((f" {note}" for note in table.notes if "formula" in note), "")


def hint(table: Table, used: set[int | None]) -> str:
    """Say how to name the captions' language, with a guess of both."""
    places = list_text_columns(table, used)
    if not places:
        return "Add a column with captions, named as their language."
    return f"Say which has captions in which language: {suggest(table, places[0])}."


def suggest(table: Table, place: int) -> str:
    """The option that reads a column, with the language that it looks like."""
    text = " ".join(row[place] for row in table.rows[:50])
    pack = find_pack(load_identifier().rank(text)[0][0])
    return f"--lang {pack.code if pack else 'CODE'}={table.header[place]}" + (
        f" (it looks like {pack.name})" if pack else ""
    )


def find_unread(table: Table, columns: Columns) -> list[str]:
    """Say of each column that is not read but seems to hold captions how to read it."""
    used = {columns.image, columns.split, *(place for places in columns.captions.values() for place in places)}
    return [
        f"Column {table.header[place]!r} has text and is not read; if it has captions: {suggest(table, place)}."
        for place in range(len(table.header))
        if place not in used and is_prose(table, place)
    ]


def is_prose(table: Table, place: int) -> bool:
    """Whether most cells of a column are filled, differ and have several words."""
    cells = [row[place] for row in table.rows[:SAMPLE]]
    words = [cell for cell in set(cells) if " " in cell]
    return share_of(table, place, FILE) <= MOST and len(words) > MOST * len(cells)


def list_text_columns(table: Table, used: set[int | None]) -> list[int]:
    """Columns that may hold captions: those with a usual name first."""
    places = [
        place
        for place in range(len(table.header))
        if place not in used and max(share_of(table, place, NOT_CAPTION), share_of(table, place, FILE)) <= MOST
    ]
    usual = [place for place in places if table.header[place].lower() in CAPTIONS]
    return usual or places


def choose_captions(
    table: Table, asked: Mapping[str, str | Sequence[str]], used: set[int | None]
) -> dict[str, list[int]]:
    """The columns that were asked for, by language."""
    found: dict[str, list[int]] = {}
    for language, names in asked.items():
        code = resolve_language(language).code
        columns = [names] if isinstance(names, str) else list(names)
        found[code] = [find_column(table, name) if name else find_only(table, code, used) for name in columns]
    owners: dict[int, str] = {}
    for code, places in found.items():
        for place in places:
            if owners.setdefault(place, code) != code:
                raise DataError(
                    f"{table.path}: column {table.header[place]!r} was given to {owners[place]} and to {code}; a "
                    "column has captions in one language."
                )
    return found


def find_only(table: Table, code: str, used: set[int | None]) -> int:
    """The column of a language for which none was named: named as it, or the only one with text."""
    own = [place for place, name in enumerate(table.header) if place not in used and code_of(name) == code]
    if len(own) > 1:
        raise explain_twice(table, code, own)
    rest = [place for place in range(len(table.header)) if place not in used]
    places = own or list_text_columns(table, used) or (rest if len(rest) == 1 else [])
    if len(places) == 1:
        return places[0]
    raise DataError(
        f"{table.path}: which column has the captions in {code}? Its columns are {', '.join(table.header)}. Say "
        f"--lang {code}=COLUMN."
    )


def check_captions(table: Table, code: str, place: int) -> None:
    """Refuse a column of captions that mostly holds numbers, dates or names of files, or nothing."""
    name = table.header[place]
    if not any(row[place] for row in table.rows):
        raise DataError(
            f"{table.path}: column {name!r} is empty; expected captions in {code}.{explain_formulas(table)}"
        )
    for pattern, what in ((NOT_CAPTION, "numbers or dates"), (FILE, "names of files")):
        if share_of(table, place, pattern) > MOST:
            example = next(row[place] for row in table.rows if pattern.fullmatch(row[place]) and row[place])
            raise DataError(
                f"{table.path}: column {name!r} holds {what}, such as {example!r}; expected captions in {code}. Name "
                f"another column: --lang {code}=COLUMN."
            )


def code_of(name: str) -> str:
    """The code of the language that a column is called after (`sw`, `Swahili`, `caption_sw`, `sw_2`), or nothing."""
    part = PART.fullmatch(name.strip())
    for text in (name.strip(), part[1] if part else ""):
        try:
            return resolve_language(text).code if text else ""
        except PolyclipError:
            continue
    return ""
