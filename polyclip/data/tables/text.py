"""Tables in text files: encoding and delimiter are found out."""

import codecs
import csv
import io
import re
from pathlib import Path
from typing import Literal

from polyclip.data.tables.table import Table, make_table
from polyclip.errors import DataError
from polyclip.languages.identify import load_identifier

BOMS = (
    (codecs.BOM_UTF8, "utf-8", "UTF-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le", "UTF-16"),
    (codecs.BOM_UTF16_BE, "utf-16-be", "UTF-16"),
)
LATIN = {"cp1250": "pl cs sk hu ro hr bs sl sq", "cp1254": "tr az"}  # Windows code pages and languages written in them
FREQUENT = {"cp1251": "оеаинтслрв", "cp1253": "αοιετνσρηπ", "cp1255": "יוהלאמרתבש", "cp1256": "اليمنوترهب"}  # letters
WESTERN = "cp1252"  # all others
RUN = re.compile(rb"[\x80-\xff]+")  # single letters in Latin scripts, whole words in others
DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
TOKEN = re.compile(r"([^\t#]+\.\w{3,4})#(\d+)\t(.*)")  # Flickr30k: 1000092795.jpg#0<TAB>caption
SAMPLE = 65536  # characters or bytes from which encoding and delimiter are found out
FEW = 0.1  # share of bad bytes among letters beyond ASCII up to which a file is UTF-8 with errors in it


def decode_text(data: bytes, path: Path, encoding: str | None = None) -> tuple[str, str]:
    """Decode a text file.

    Args:
        data: Its bytes.
        path: The file, for messages.
        encoding: The encoding, where the caller knows it.

    Returns:
        The text without byte order mark, and what the encoding is called.

    Raises:
        DataError: The bytes are not text in the encoding.

    """
    if encoding:
        return _decode(data, encoding, path), encoding
    for mark, marked, name in BOMS:
        if data.startswith(mark):
            return _decode(data[len(mark) :], marked, path), name
    if b"\0" in data[:SAMPLE]:  # file names and delimiters are ASCII, which is half zeros in UTF-16
        odd, even = data[1:SAMPLE:2].count(0), data[0:SAMPLE:2].count(0)
        return _decode(data, "utf-16-le" if odd > even else "utf-16-be", path), "UTF-16 without byte order mark"
    try:
        return data.decode("utf-8"), "UTF-8"
    except UnicodeDecodeError:
        text = data.decode("utf-8", "replace")
        if text.count("\ufffd") <= FEW * sum(not letter.isascii() for letter in text):
            return _decode(data, "utf-8", path), "UTF-8"
        codec = guess_code_page(data)
        return _decode(data, codec, path), f"Windows-{codec[2:]} (a guess; save it as 'CSV UTF-8' if letters are wrong)"


def guess_code_page(data: bytes) -> str:
    """Guess the Windows code page of bytes that are not UTF-8, from the lines that go beyond ASCII.

    In Latin script a page is taken where its text is identified as a language that is written in it; in others the page
    that gives the most of its script's frequent letters. (charset-normalizer rates most of them alike on captions.)
    """
    lines = b"\n".join(line for line in data.splitlines() if not line.isascii())[:SAMPLE]
    runs = RUN.findall(lines)
    if sum(map(len, runs)) < 2 * len(runs):
        for page, languages in LATIN.items():
            if load_identifier().rank(lines.decode(page, "replace"))[0][0] in languages.split():
                return page
        return WESTERN
    return max(FREQUENT, key=lambda page: sum(map(lines.decode(page, "replace").count, FREQUENT[page])))


def _decode(data: bytes, encoding: str, path: Path) -> str:
    try:
        return data.decode(encoding)
    except LookupError as error:
        raise DataError(f"--encoding {encoding}: no such encoding; expected one such as utf-8 or cp1252.") from error
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise DataError(
            f"{path}:{line}: not {encoding.upper()} ({error.reason}); save the file as CSV UTF-8, or name its "
            "encoding with --encoding."
        ) from error


def parse_text(path: Path, text: str, encoding: str) -> Table:
    """Parse delimited text, or a token file of Flickr30k.

    Args:
        path: The file.
        text: Its text.
        encoding: What its encoding is called.

    Returns:
        The table.

    Raises:
        DataError: No delimiter, no header, no rows, or a row with more cells than the header.

    """
    if text.lstrip()[:1] == "<":
        raise DataError(
            f"{path} is a web page or XML, not a table; save it as .xlsx or CSV in the spreadsheet program."
        )
    lines = text.splitlines()
    if lines and TOKEN.fullmatch(lines[0]):
        return parse_tokens(path, lines, encoding)
    named = re.match(r"sep=(.)\r?\n", text)  # Excel's own way to name the delimiter
    delimiter = named[1] if named else find_delimiter(text[:SAMPLE])
    rows, numbers, quoting = read_rows(text[named.end() :] if named else text, delimiter)
    if not rows:
        raise DataError(f"{path} has no row with text in it; expected a header and a row for each caption.")
    about = f"{encoding}, separated by {DELIMITERS.get(delimiter, delimiter)}{quoting}"
    table = make_table(path, about, rows, [number + bool(named) for number in numbers])
    check_width(path, rows, numbers)
    return table


def read_rows(text: str, delimiter: str) -> tuple[list[tuple[str, ...]], list[int], str]:
    """Split text into stripped cells: the rows that are not empty, their lines, and a remark on quotes."""
    csv.field_size_limit(1 << 30)
    for quoted in (True, False):
        quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, quoting=quoting, strict=True)
        rows, numbers, begins = [], [], 1
        try:
            for row in reader:
                if any(cell.strip() for cell in row):
                    rows.append(tuple(cell.strip() for cell in row))
                    numbers.append(begins)
                begins = reader.line_num + 1
        except csv.Error:  # a quote that is never closed: it is no quoting
            continue
        return rows, numbers, "" if quoted else ", quotes are letters"
    return [], [], ""


def find_delimiter(sample: str) -> str:
    """Find the delimiter that splits the most lines into as many cells as the first line has."""

    def score(delimiter: str) -> tuple[float, int]:
        widths = [len(row) for row in read_rows(sample, delimiter)[0][:100]]
        first = next((width for width in widths if width > 1), 0)
        return (sum(width == first for width in widths) / len(widths) if first else 0.0, first)

    lines = sample.splitlines()
    whole = "\n".join(lines[:-1] if len(sample) >= SAMPLE else lines)
    scores = {delimiter: score(delimiter) for delimiter in DELIMITERS if delimiter in whole}
    return max(scores, key=lambda delimiter: scores[delimiter]) if scores else ","


def check_width(path: Path, rows: list[tuple[str, ...]], numbers: list[int]) -> None:
    """Refuse rows with more cells than the header has."""
    width = next(len(row) for row in rows if sum(map(bool, row)) > 1)
    wide = [number for row, number in zip(rows, numbers, strict=True) if any(row[width:])]
    if wide:
        raise DataError(
            f"{path}:{wide[0]}: more cells than the header's {width} ({len(wide)} such row(s)); a caption that holds "
            'the delimiter must stand in quotes: "a dog, black".'
        )


def parse_tokens(path: Path, lines: list[str], encoding: str) -> Table:
    """Parse a token file of Flickr8k or Flickr30k: `1000092795.jpg#0<TAB>caption` on every line."""
    rows: list[tuple[str, ...]] = []
    for number, line in enumerate(lines, 1):
        found = TOKEN.fullmatch(line)
        if found is None and line.strip():
            raise DataError(f"{path}:{number}: expected image.jpg#0, a tab and a caption, found {line[:60]!r}.")
        rows.append((found[1], found[3].strip()) if found else ("", ""))
    kept = [number for number, row in enumerate(rows, 1) if any(row)]
    return Table(
        path=path,
        about=f"token file of Flickr30k, {encoding}",
        header=("image", "caption"),
        rows=[rows[number - 1] for number in kept],
        numbers=kept,
    )
