"""Read a table of captions from a file of any kind."""

from pathlib import Path

from polyclip.core.storage import check_plain, read_plain_bytes
from polyclip.data.tables.annotations import parse_annotations
from polyclip.data.tables.excel import explain_old_workbook, read_workbook
from polyclip.data.tables.table import Table
from polyclip.data.tables.text import decode_text, parse_text
from polyclip.errors import DataError

SUFFIXES = (".csv", ".tsv", ".tab", ".txt", ".token", ".xlsx", ".xlsm", ".json", ".jsonl")  # of tables
ZIP, OLE = b"PK\x03\x04", b"\xd0\xcf\x11\xe0"  # how .xlsx files begin, and old or encrypted Excel files


def read_table(path: Path, *, sheet: str | None = None, encoding: str | None = None) -> Table:
    """Read a table: CSV, TSV, XLSX, JSON lines, COCO's or Karpathy's JSON, or a token file of Flickr30k.

    What a file is follows from its first bytes, not from its name.

    Args:
        path: The file.
        sheet: Sheet of a workbook; by default the first with cells.
        encoding: Encoding of a text file, such as `cp1252`; by default found out.

    Returns:
        The table.

    Raises:
        DataError: The file is missing, damaged, protected or of another kind, or has no header or no rows.
        UnknownName: The workbook has no such sheet.

    """
    try:
        check_plain(path)
        with path.open("rb") as handle:
            start = handle.read(4)
        data = b"" if start == ZIP else read_plain_bytes(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}).") from error
    if start == ZIP:
        return read_workbook(path, sheet)
    if start == OLE:
        raise DataError(explain_old_workbook(path, data))
    if not data.strip():
        raise DataError(f"{path} is empty; expected a header and a row for each caption.")
    if path.suffix.lower() in (".xlsx", ".xlsm", ".xls", ".ods"):
        raise DataError(
            f"{path} is not a workbook, or it is damaged: it begins with {data[:8]!r}. Open it in the spreadsheet "
            "program and save it again as .xlsx or CSV."
        )
    text, name = decode_text(data, path, encoding)
    return parse_annotations(path, text, name) if text.lstrip()[:1] in ("{", "[") else parse_text(path, text, name)
