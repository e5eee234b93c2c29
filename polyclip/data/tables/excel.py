"""Tables in Excel workbooks (.xlsx), read row by row with openpyxl."""

import re
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from polyclip.core.text import describe_error
from polyclip.data.tables.table import Table, make_table
from polyclip.errors import DataError, PolyclipError, UnknownName

MERGED = re.compile(rb'<mergeCell ref="([A-Z]+)(\d+):([A-Z]+)(\d+)"')
FORMULA = re.compile(rb'<c r="([A-Z]+\d+)"[^>]*><f[^>]*?(?:/>|>[^<]*</f>)(?:<v\s*/>|<v></v>)?</c>')  # without a value
ENCRYPTED = "EncryptedPackage".encode("utf-16-le")
MAX_SHEET = 1 << 30  # bytes of one sheet, unpacked
MAX_BOOK, FREE, RATIO = 500_000_000, 10_000_000, 200  # sheets of equal cells pack to a hundredth


def explain_old_workbook(path: Path, data: bytes) -> str:
    """Explain that a workbook is protected, or in Excel's old format."""
    if ENCRYPTED in data:
        return (
            f"{path} is protected with a password. Open it in the spreadsheet program, remove the password, save it, "
            "and run the command again."
        )
    return f"{path} is in Excel's old format (.xls). Save it as .xlsx or CSV in the spreadsheet program."


@contextmanager
def explain_damage(path: Path) -> Iterator[None]:
    """Turn the many ways in which a damaged workbook fails into one sentence."""
    try:
        yield
    except PolyclipError:
        raise
    except Exception as error:  # openpyxl, expat and zlib raise whatever a damaged file leads them to
        raise DataError(
            f"{path} is not a workbook, or it is damaged ({describe_error(error, 80)}). Open it in the spreadsheet "
            "program and save it again as .xlsx."
        ) from error


def read_workbook(path: Path, sheet: str | None) -> Table:
    """Read one sheet of a workbook; formulas count by their stored values, merged cells for each of their rows.

    Args:
        path: The .xlsx file.
        sheet: Name of the sheet; by default the first with cells.

    Returns:
        The table.

    Raises:
        DataError: The file is damaged, or openpyxl is not installed.
        UnknownName: There is no such sheet.

    """
    if find_spec("openpyxl") is None:
        raise DataError(f"{path}: reading .xlsx requires openpyxl: pip install 'polyclip[tables]', or save it as CSV.")
    import openpyxl

    with explain_damage(path), warnings.catch_warnings():
        check_unpacked(path)
        warnings.simplefilter("ignore")  # of openpyxl, about styles and extensions
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    try:
        names = [found.title for found in book.worksheets]
        if sheet is not None and sheet not in names:
            raise UnknownName(f"sheet in {path}", sheet, names)
        for found in [book[sheet]] if sheet is not None else book.worksheets:
            with explain_damage(path):
                rows, numbers, notes = read_sheet(found, path)
            if rows:
                break
        else:
            raise DataError(f"{path} is empty: no sheet has a cell that is filled.")
    finally:
        book.close()
    others = [name for name in names if name != found.title]
    more = f", not {', '.join(map(repr, others))} (choose with --sheet)" if others else ""
    return make_table(path, f"Excel workbook, sheet {found.title!r}{more}", rows, numbers, notes)


def check_unpacked(path: Path) -> None:
    """Check that a workbook unpacks to no more than a table does: openpyxl keeps all of its texts in memory.

    Raises:
        DataError: It unpacks to more than 500 MB, or to more than 10 MB and 200 times its size.

    """
    with zipfile.ZipFile(path) as archive:
        total = sum(part.file_size for part in archive.infolist())
    if total > min(MAX_BOOK, max(FREE, RATIO * path.stat().st_size)):
        raise DataError(f"{path} unpacks to {total:,} bytes; that is no table of captions. Save it as CSV.")


def read_sheet(sheet: Any, path: Path) -> tuple[list[tuple[str, ...]], list[int], list[str]]:
    """Read the rows of a sheet that are not empty, their numbers, and remarks."""
    merged, bare = find_special_cells(path, sheet._worksheet_path)
    sheet.reset_dimensions()  # some programs write wrong ones
    rows: list[tuple[str, ...]] = []
    numbers: list[int] = []
    above: dict[int, str] = {}
    for number, row in enumerate(sheet.iter_rows(values_only=True), 1):
        cells = [format_cell(cell) for cell in row]
        for column in merged.get(number, ()):
            cells += [""] * (column + 1 - len(cells))
            cells[column] = cells[column] or above.get(column, "")
        if merged:
            above = dict(enumerate(cells))
        if any(cells):
            rows.append(tuple(cells))
            numbers.append(number)
    notes = []
    if merged:
        count = sum(map(len, merged.values()))
        notes.append(f"{count} cell(s) are merged with the one above them and count as its copies.")
    if bare:
        notes.append(
            f"{len(bare)} formula(s) have no stored value and count as empty, such as {bare[0]}: open the table in the "
            "spreadsheet program and save it, or paste values in their place."
        )
    return rows, numbers, notes


def find_special_cells(path: Path, inside: str) -> tuple[dict[int, list[int]], list[str]]:
    """Find the columns, by row, that continue a cell merged downwards, and the formulas without a stored value."""
    with zipfile.ZipFile(path) as archive:
        name = inside.lstrip("/")
        if archive.getinfo(name).file_size > MAX_SHEET:
            raise DataError(f"{path}: {name} is larger than {MAX_SHEET:,} bytes unpacked; save the table as CSV.")
        xml = archive.read(name)
    merged: dict[int, list[int]] = {}
    for left, top, _, bottom in MERGED.findall(xml):
        for row in range(int(top) + 1, min(int(bottom), int(top) + 1_048_576) + 1):
            merged.setdefault(row, []).append(count_column(left.decode()))
    return merged, [cell.decode() for cell in FORMULA.findall(xml)]


def count_column(letters: str) -> int:
    """The place of a column that a spreadsheet calls by letters: A is 0, AA is 26."""
    place = 0
    for letter in letters:
        place = place * 26 + ord(letter) - ord("A") + 1
    return place - 1


def format_cell(cell: object) -> str:
    """The text of a cell: dates in ISO format, whole numbers without a decimal point."""
    if cell is None:
        return ""
    if isinstance(cell, datetime) and not (cell.hour or cell.minute or cell.second):
        return cell.date().isoformat()
    if isinstance(cell, datetime | date):
        return cell.isoformat()
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell).strip()
