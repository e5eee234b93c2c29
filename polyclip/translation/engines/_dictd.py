"""Dictionaries for dictd, as FreeDict publishes them: an .index beside a .dict or .dict.dz.

Layout (dictd's manual, dictfmt): a line of the index is headword, offset and length in base-64 digits, tab-separated;
an entry is text for readers, so translations are extracted with heuristics.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from zlib import error as ZlibError

from polyclip.core.gzip import read_gzip
from polyclip.core.storage import hash_parts, read_plain_bytes
from polyclip.errors import DataError
from polyclip.translation.engines._tables import read_lines, to_phrase_key

DIGITS = {sign: value for value, sign in enumerate("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")}
SENSE = re.compile(r"^\s*([IVX]+\.\s)?\s*(?:<[^>]*>\s*)?(\d+\.)?\s*")  # I. <N> 1.
# Word classes, notes, references, pronunciations; an end further away is none, or n open brackets took n * n steps.
ASIDE = re.compile(r"<[^>]{0,500}>|\[[^\]]{0,500}\]|\([^)]{0,500}\)|\{[^}]{0,500}\}|/[^/]{0,500}/")
WORDS = 4  # a longer translation is an explanation


class DictdTable:
    """A dictionary whose entries are read when they are looked up.

    Args:
        index: The .index file.

    Raises:
        DataError: The files do not belong together, are damaged or not UTF-8; with file and line.

    """

    def __init__(self, index: Path) -> None:
        self.content = read_content(index)
        self.places: dict[str, list[tuple[int, int]]] = {}
        bad = find_not_utf8(self.content)
        for number, line in read_lines(index):
            if not line or line.startswith(("00database", "00-database")):
                continue
            headword, start, end = parse_index_line(line, f"{index}:{number}", len(self.content))
            if start <= bad < end or find_not_utf8(self.content[start:end]) >= 0:
                raise DataError(
                    f"{index}:{number}: the entry of {headword!r} is not UTF-8, as FreeDict's are; install the "
                    "package again."
                )
            self.places.setdefault(to_phrase_key(headword), []).append((start, end))
        if not self.places:
            raise DataError(f"{index} has no entry in it.")
        self.longest = max(len(phrase.split()) for phrase in self.places)
        self.identity = hash_parts(read_plain_bytes(index), self.content)

    def look_up(self, phrase: str) -> tuple[str, ...]:
        """Look up the translations of a phrase, in the order of the dictionary."""
        entries = (self.content[start:end].decode("utf-8") for start, end in self.places.get(phrase, ()))
        return tuple(dict.fromkeys(text for entry in entries for text in extract_senses(entry, phrase)))


def read_content(index: Path) -> bytes:
    """Read the bytes of `.dict.dz` or `.dict` beside an index.

    Raises:
        DataError: The file is missing or damaged.

    """
    packed, plain = index.with_suffix(".dict.dz"), index.with_suffix(".dict")
    try:
        return read_gzip(packed) if packed.is_file() else read_plain_bytes(plain)
    except (OSError, EOFError, ZlibError) as error:
        raise DataError(
            f"{packed if packed.is_file() else plain} cannot be read ({error}); it belongs beside {index.name}."
        ) from error


def find_not_utf8(data: bytes) -> int:
    """Find the first byte that is not UTF-8; -1 for none."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start
    return -1


def parse_index_line(line: str, where: str, size: int) -> tuple[str, int, int]:
    """Parse headword, start and end of an entry.

    Raises:
        DataError: The line has another layout, or the entry lies outside the dictionary.

    """
    try:
        headword, start, length = line.split("\t")[:3]
        first, past = parse_number(start), parse_number(start) + parse_number(length)
    except (ValueError, KeyError) as error:
        raise DataError(f"{where}: expected headword, offset and length of dictd, found {line[:60]!r}.") from error
    if past > size:
        raise DataError(
            f"{where}: the entry of {headword!r} lies beyond the end of the dictionary; the two files do not belong "
            "together."
        )
    return headword, first, past


def parse_number(digits: str) -> int:
    """Parse one of dictd's base-64 numbers."""
    total = 0
    for digit in digits:
        total = total * 64 + DIGITS[digit]
    return total


def extract_senses(entry: str, headword: str) -> Iterator[str]:
    """Extract the translations of an entry, whose first line repeats the headword.

    They are the first line of each sense, without notes in brackets and explanations.
    """
    body = [line for line in entry.split("\n")[1:] if line.strip()]
    numbered = [line for line in body if (found := SENSE.match(line)) and (found[1] or found[2])]
    for line in numbered or body[:1]:
        for part in re.split(r"[,;]", ASIDE.sub(" ", SENSE.sub("", line)).replace("~", " ")):
            text = re.sub(r"\s\d+$", "", part.strip(" ."))  # FreeDict numbers homographs
            words = text.split()
            idiom = len(words) > 1 and headword in to_phrase_key(text).split()  # an English phrase under its chief word
            if 0 < len(words) <= WORDS and not idiom and not re.search(r"[:\"|=]", text):
                yield " ".join(words)
