"""Gzip files read by blocks: one that unpacks to far more than text does is stopped, not unpacked."""

import gzip
import zlib
from pathlib import Path

from polyclip.core.storage import check_plain
from polyclip.errors import DataError

BLOCK = 1 << 20  # bytes
RATIO = 100  # text packs to a fifth or so, zeros to a thousandth
FREE = 10_000_000  # bytes that any file may unpack to
FAULTS = (OSError, EOFError, zlib.error)  # of a damaged file


def read_gzip(path: Path, most: int = 2_000_000_000) -> bytes:
    """Unpack a gzip file.

    Args:
        path: The file.
        most: The most bytes that are unpacked.

    Returns:
        Its content.

    Raises:
        DataError: It unpacks to more than `most` bytes, or to more than 10 MB and 100 times its size.
        OSError: It cannot be read, or is damaged; also EOFError and zlib.error (`FAULTS`).

    """
    check_plain(path)
    most = min(most, max(FREE, RATIO * path.stat().st_size))
    found = bytearray()
    with gzip.open(path) as packed:
        while block := packed.read(BLOCK):
            found += block
            if len(found) > most:
                raise DataError(f"{path} unpacks to more than {most:,} bytes; that is no file of text.")
    return bytes(found)
