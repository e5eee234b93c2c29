"""Whether two pictures are the same one, saved in another size or quality.

Perceptual hashes (the library imagehash: DCT, 256 bits) propose pairs that differ in at most `NEAR` bits, thumbnails of 32 x 32 pixels decide:
no value of any pixel may differ by more than `APART` of 255. Measured: all of 45 parts of photographs are recognised at JPEG quality 30, at half
and double size, squashed, and at half size with quality 75; of 181 drawings of 128 pixels all at other sizes and at quality 75, 93 % at 50, 62 % at
30, 25 % at half size with 75. A heart or a flag in another colour, or a face with another mouth, is told apart. A crop, even of a hundredth of each
side, a rotation or a grey copy is not recognised.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass

import imagehash
import numpy as np
import scipy.fftpack  # noqa: F401, which imagehash would otherwise import in whichever thread hashes first
from PIL import Image

from polyclip.core.progress import Progress
from polyclip.core.storage import cache_folder
from polyclip.data.types import ImageSource
from polyclip.errors import DataError, PolyclipError

SIDE = 16
BITS = SIDE * SIDE
NEAR = 40  # bits
THUMBNAIL = 32  # pixels
APART = 35  # of 255
BATCH = 256  # pictures hashed before they are kept
BLOCK = 512  # pictures compared at once with all others
TRIES = 50  # nearest pairs of one picture whose thumbnails are compared


@dataclass(frozen=True)
class Hashes:
    """Hashes [picture, 32 bytes] of the pictures that could be read, and one sentence for each that could not."""

    pictures: list[ImageSource]
    bits: np.ndarray
    problems: list[str]


def hashes(pictures: Sequence[ImageSource], what: str) -> Hashes:
    """The hash of every picture; those computed before come from the cache, by what the picture's file holds.

    Raises PolyclipError where the cache cannot be written.
    """
    path = cache_folder() / "hashes" / f"phash-{BITS}.sqlite"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(path)) as store:
            store.execute("CREATE TABLE IF NOT EXISTS hash (picture TEXT PRIMARY KEY, bits BLOB) WITHOUT ROWID")
            known: dict[str, bytes] = dict(store.execute("SELECT picture, bits FROM hash"))
            missing = list({picture.key: picture for picture in pictures if picture.key not in known}.values())
            problems = compute(store, missing, known, what)
    except (sqlite3.Error, OSError) as error:
        raise PolyclipError(
            f"Cannot keep picture hashes in {path}: {error}. Free some space, remove the file if it is damaged, or set POLYCLIP_CACHE."
        ) from error
    kept = [picture for picture in pictures if picture.key in known]
    table = np.frombuffer(b"".join(known[picture.key] for picture in kept), dtype=np.uint8).reshape(
        len(kept), BITS // 8
    )
    return Hashes(kept, table, problems)


def compute(store: sqlite3.Connection, missing: Sequence[ImageSource], known: dict[str, bytes], what: str) -> list[str]:
    """Hash and keep batch by batch, so that an interruption loses little; returns what could not be read."""
    problems: list[str] = []
    with Progress(f"hashing {what}", len(missing)) as progress, ThreadPoolExecutor() as pool:
        for start in range(0, len(missing), BATCH):
            batch = missing[start : start + BATCH]
            found = list(pool.map(hashed, batch))
            fresh = {picture.key: bits for picture, bits in zip(batch, found, strict=True) if isinstance(bits, bytes)}
            problems += [bits for bits in found if isinstance(bits, str)]
            with store:
                store.executemany("INSERT OR REPLACE INTO hash VALUES (?, ?)", fresh.items())
            known.update(fresh)
            progress.advance(len(batch))
    return problems


def hashed(picture: ImageSource) -> bytes | str:
    """The hash, or why the picture cannot be read."""
    try:
        return np.packbits(imagehash.phash(picture.open(), SIDE).hash.flatten()).tobytes()
    except DataError as error:
        return str(error)


def near(first: np.ndarray, second: np.ndarray, most: int = NEAR) -> Iterator[tuple[int, int, int]]:
    """Rows of `first` and `second` [picture, bytes] that differ in at most `most` bits, and in how many; by row of `second`, nearest first."""
    signs = 2 * np.unpackbits(first, axis=1).astype(np.float32) - 1
    bits = 8 * first.shape[1]
    with Progress("comparing pictures", len(second)) as progress:
        for start in range(0, len(second), BLOCK):
            block = 2 * np.unpackbits(second[start : start + BLOCK], axis=1).astype(np.float32) - 1
            apart = (bits - block @ signs.T) / 2
            rows, columns = np.nonzero(apart <= most)
            distance = apart[rows, columns]
            for place in np.lexsort((columns, distance, rows)):
                yield int(columns[place]), start + int(rows[place]), round(float(distance[place]))
            progress.advance(len(block))


def duplicates(train: Hashes, other: Hashes) -> Iterator[tuple[ImageSource, ImageSource, int]]:
    """For each picture of `other` that is also in `train`, one that it equals, and in how many bits their hashes differ.

    Of many proposals for a picture the nearest 50 are looked at; identical files are found without.
    """
    same = {picture.key: picture for picture in reversed(train.pictures)}
    done = {row for row, picture in enumerate(other.pictures) if picture.key in same}
    for row in sorted(done):
        yield same[other.pictures[row].key], other.pictures[row], 0
    tried: dict[int, int] = {}
    thumbnails: dict[str, np.ndarray] = {}
    for mine, theirs, bits in near(train.bits, other.bits):
        tried[theirs] = tried.get(theirs, 0) + 1
        if theirs in done or tried[theirs] > TRIES:
            continue
        if alike(train.pictures[mine], other.pictures[theirs], thumbnails):
            done.add(theirs)
            yield train.pictures[mine], other.pictures[theirs], bits


def alike(first: ImageSource, second: ImageSource, thumbnails: dict[str, np.ndarray]) -> bool:
    """Whether no pixel of their thumbnails is further apart than `APART`; `thumbnails` keeps those made before."""
    for picture in (first, second):
        if picture.key not in thumbnails:
            thumbnails[picture.key] = thumbnail(picture.open())
    return bool(np.abs(thumbnails[first.key] - thumbnails[second.key]).max() <= APART)


def thumbnail(image: Image.Image) -> np.ndarray:
    """RGB values [32, 32, 3] in 0 to 255."""
    return np.asarray(image.convert("RGB").resize((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS), dtype=np.float32)
