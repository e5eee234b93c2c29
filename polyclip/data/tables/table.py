"""A table of captions, whatever file it was in."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from polyclip.errors import DataError


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table: text in rows and named columns.

    Attributes:
        path: The file.
        about: What it was understood as, such as `UTF-8, separated by semicolons`.
        header: Names of the columns, unique.
        rows: Cells of each row, as many as there are columns; empty rows are left out.
        numbers: Row of the file, from 1, that each row comes from.
        notes: What looked wrong while it was read, one sentence each.

    """

    path: Path
    about: str
    header: tuple[str, ...]
    rows: list[tuple[str, ...]]
    numbers: Sequence[int]
    notes: tuple[str, ...] = ()


def make_table(
    path: Path, about: str, rows: list[tuple[str, ...]], numbers: Sequence[int], notes: Sequence[str] = ()
) -> Table:
    """Make a table of rows whose first is the header; titles above it and empty columns are left out.

    Raises:
        DataError: There is no header, a name is twice in it, or nothing below it.

    """
    first = next((place for place, row in enumerate(rows) if sum(map(bool, row)) > 1), None)
    if first is None:
        raise DataError(
            f"{path}: expected a header that names at least two columns, images and captions, found "
            f"{describe_row(rows[0]) if rows else 'no cell that is filled'}."
        )
    width = max(len(row) for row in rows[first:])
    filled = [place for place in range(width) if any(len(row) > place and row[place] for row in rows[first:])]
    header = tuple(rows[first][place].strip() if place < len(rows[first]) else "" for place in filled)
    named = tuple(name or f"column {spell_column(place)}" for name, place in zip(header, filled, strict=True))
    twice = sorted({name for name in named if named.count(name) > 1})
    if twice:
        raise DataError(f"{path}: two columns are called {twice[0]!r}; give each a name of its own.")
    if len(rows) == first + 1:
        raise DataError(f"{path}: expected at least one row below the header ({', '.join(named)}), found none.")
    above = [f"{first} row(s) above the header are not read: {describe_row(rows[0])}."] if first else []
    cells = [tuple(row[place] if place < len(row) else "" for place in filled) for row in rows[first + 1 :]]
    return Table(path=path, about=about, header=named, rows=cells, numbers=numbers[first + 1 :], notes=(*notes, *above))


def describe_row(row: Sequence[str]) -> str:
    """Quote the filled cells of a row, shortened."""
    text = ", ".join(cell for cell in row if cell)
    return repr(text if len(text) <= 60 else f"{text[:60]}...")


def spell_column(place: int) -> str:
    """The letters of a column as spreadsheets write them: 0 is A, 26 is AA."""
    return (spell_column(place // 26 - 1) if place >= 26 else "") + chr(ord("A") + place % 26)
