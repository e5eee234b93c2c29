"""Near-duplicate detection: whether two images are the same one, saved in another size or quality.

Perceptual hashes (the library imagehash: DCT, 256 bits) propose pairs that differ in at most `NEAR` bits; thumbnails of
32 x 32 pixels decide: no value of any pixel may differ by more than `APART` of 255. Measured: all of 45 crops of
photographs are recognised at JPEG quality 30, at half and double size, squashed, and at half size with quality 75; of
181 drawings of 128 pixels all at other sizes and at quality 75, 93 % at 50, 62 % at 30, 25 % at half size with 75. A
heart or a flag in another colour, or a face with another mouth, is told apart. A crop, even of a hundredth of each
side, a rotation or a grey copy is not recognised.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import imagehash
import numpy as np
from PIL import Image

from polyclip.core.progress import Progress
from polyclip.core.storage import get_cache_folder
from polyclip.data.types import ImageSource
from polyclip.errors import DataError, PolyclipError

VERSION = 2  # of how images are decoded
SIDE = 16
BITS = SIDE * SIDE
NEAR = 40  # bits
THUMBNAIL = 32  # pixels
APART = 35  # of 255
BATCH = 256  # images hashed before they are stored
BLOCK = 512  # images compared at once with all others
TRIES = 50  # nearest pairs of one image whose thumbnails are compared
Fingerprint = tuple[bytes, bytes]  # perceptual hash, and the pixels of the thumbnail


@dataclass(frozen=True)
class ImageHashes:
    """Perceptual hashes of the readable images, and one sentence for each unreadable one.

    Attributes:
        images: The images that could be read.
        bits: Their hashes, uint8 [image, 32].
        problems: One sentence for each image that could not be read.

    """

    images: list[ImageSource]
    bits: np.ndarray
    problems: list[str]


def hash_images(images: Sequence[ImageSource], what: str) -> ImageHashes:
    """Compute the perceptual hash of every image; earlier ones come from the cache, by the hash of the file.

    Args:
        images: The images.
        what: What they are, for the progress bar.

    Returns:
        The hashes.

    Raises:
        PolyclipError: The cache cannot be written.

    """
    with open_store() as store:
        known: dict[str, bytes] = dict(store.execute("SELECT picture, bits FROM hash JOIN thumbnail USING (picture)"))
        missing = list({image.key: image for image in images if image.key not in known}.values())
        problems = compute_hashes(store, missing, known, what)
    kept = [image for image in images if image.key in known]
    table = np.frombuffer(b"".join(known[image.key] for image in kept), dtype=np.uint8).reshape(len(kept), BITS // 8)
    return ImageHashes(kept, table, problems)


def get_store_path() -> Path:
    """The cache of hashes and thumbnails."""
    return get_cache_folder() / "hashes" / f"phash-{BITS}-{VERSION}.sqlite"


@contextmanager
def open_store() -> Iterator[sqlite3.Connection]:
    """Open the cache of hashes and thumbnails.

    Raises:
        PolyclipError: It cannot be read or written.

    """
    path = get_store_path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(path)) as store:
            store.execute("CREATE TABLE IF NOT EXISTS hash (picture TEXT PRIMARY KEY, bits BLOB) WITHOUT ROWID")
            store.execute("CREATE TABLE IF NOT EXISTS thumbnail (picture TEXT PRIMARY KEY, pixels BLOB) WITHOUT ROWID")
            yield store
    except (sqlite3.Error, OSError) as error:
        raise PolyclipError(
            f"Cannot store image hashes in {path}: {error}. Free some space, remove the file if it is damaged, or set "
            "POLYCLIP_CACHE."
        ) from error


def keep_fingerprints(store: sqlite3.Connection, found: Mapping[str, Fingerprint]) -> None:
    """Store hashes and thumbnails by the key of their image."""
    with store:
        store.executemany("INSERT OR REPLACE INTO hash VALUES (?, ?)", [(key, one[0]) for key, one in found.items()])
        store.executemany(
            "INSERT OR REPLACE INTO thumbnail VALUES (?, ?)", [(key, one[1]) for key, one in found.items()]
        )


class FingerprintRecorder:
    """Hashes images as they are decoded for another purpose, so that `hash_images` need not decode them again.

    A context: what was recorded is stored batch by batch and at its end, also after an exception.
    """

    def __init__(self) -> None:
        self._found: dict[str, Fingerprint] = {}
        self._lock = Lock()

    def __call__(self, image: ImageSource, decoded: Image.Image) -> None:
        """Record an image; from any thread.

        Args:
            image: Where it is from.
            decoded: What it looks like.

        """
        found = make_fingerprint(decoded)
        with self._lock:
            self._found[image.key] = found
            if len(self._found) >= BATCH:
                self._flush()

    def __enter__(self) -> "FingerprintRecorder":
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._flush()

    def _flush(self) -> None:
        with open_store() as store:
            keep_fingerprints(store, self._found)
        self._found.clear()


@contextmanager
def record_fingerprints() -> Iterator[FingerprintRecorder | None]:
    """Yield what hashes images as they are decoded; None where the cache cannot be written."""
    try:
        with open_store():
            pass
    except PolyclipError:
        yield None
        return
    with FingerprintRecorder() as recorder:
        yield recorder


def compute_hashes(
    store: sqlite3.Connection, missing: Sequence[ImageSource], known: dict[str, bytes], what: str
) -> list[str]:
    """Hash and store batch by batch, so that an interruption loses little.

    Args:
        store: The open cache.
        missing: Images that are not in the cache.
        known: Hashes by image key; new ones are added.
        what: What the images are, for the progress bar.

    Returns:
        One sentence for each image that could not be read.

    """
    problems: list[str] = []
    if missing:
        import scipy.fftpack  # noqa: F401, which imagehash would otherwise import in whichever thread hashes first
    with Progress(f"hashing {what}", len(missing)) as progress, ThreadPoolExecutor() as pool:
        for start in range(0, len(missing), BATCH):
            batch = missing[start : start + BATCH]
            found = list(pool.map(hash_image, batch))
            fresh = {image.key: one for image, one in zip(batch, found, strict=True) if not isinstance(one, str)}
            problems += [one for one in found if isinstance(one, str)]
            keep_fingerprints(store, fresh)
            known.update({key: bits for key, (bits, _) in fresh.items()})
            progress.advance(len(batch))
    return problems


def hash_image(image: ImageSource) -> Fingerprint | str:
    """Hash one image, or return the reason why it cannot be read."""
    try:
        return make_fingerprint(image.open())
    except DataError as error:
        return str(error)


def make_fingerprint(image: Image.Image) -> Fingerprint:
    """Perceptual hash of a decoded image [32 bytes], and its thumbnail [32, 32, 3]."""
    bits = np.packbits(imagehash.phash(image, SIDE).hash.flatten())
    return bits.tobytes(), make_thumbnail(image).astype(np.uint8).tobytes()


def find_near(first: np.ndarray, second: np.ndarray, most: int = NEAR) -> Iterator[tuple[int, int, int]]:
    """Find pairs of hashes that differ in few bits.

    Args:
        first: Hashes, uint8 [image, byte].
        second: Hashes, uint8 [image, byte].
        most: The most bits that may differ.

    Yields:
        Row in `first`, row in `second` and number of differing bits; ordered by row of `second`, the nearest first.

    """
    signs = 2 * np.unpackbits(first, axis=1).astype(np.float32) - 1
    bits = 8 * first.shape[1]
    with Progress("comparing images", len(second)) as progress:
        for start in range(0, len(second), BLOCK):
            block = 2 * np.unpackbits(second[start : start + BLOCK], axis=1).astype(np.float32) - 1
            apart = (bits - block @ signs.T) / 2
            rows, columns = np.nonzero(apart <= most)
            distance = apart[rows, columns]
            for place in np.lexsort((columns, distance, rows)):
                yield int(columns[place]), start + int(rows[place]), round(float(distance[place]))
            progress.advance(len(block))


def find_duplicates(train: ImageHashes, other: ImageHashes) -> Iterator[tuple[ImageSource, ImageSource, int]]:
    """Find the images of `other` that are also in `train`.

    Of many candidates for an image the nearest 50 are compared; identical files are always found.

    Args:
        train: Hashes of the training images.
        other: Hashes of the images to look for.

    Yields:
        A training image, the image of `other` that equals it, and the number of differing bits.

    """
    same = {image.key: image for image in reversed(train.images)}
    done = {row for row, image in enumerate(other.images) if image.key in same}
    for row in sorted(done):
        yield same[other.images[row].key], other.images[row], 0
    tried: dict[int, int] = {}
    thumbnails: dict[str, np.ndarray] = {}
    for mine, theirs, bits in find_near(train.bits, other.bits):
        tried[theirs] = tried.get(theirs, 0) + 1
        if theirs in done or tried[theirs] > TRIES:
            continue
        if is_same_image(train.images[mine], other.images[theirs], thumbnails):
            done.add(theirs)
            yield train.images[mine], other.images[theirs], bits


def is_same_image(first: ImageSource, second: ImageSource, thumbnails: dict[str, np.ndarray]) -> bool:
    """Whether no pixel of the thumbnails differs by more than `APART`; `thumbnails` caches those made before."""
    for image in (first, second):
        if image.key not in thumbnails:
            thumbnails[image.key] = find_thumbnail(image)
    return bool(np.abs(thumbnails[first.key] - thumbnails[second.key]).max() <= APART)


def find_thumbnail(image: ImageSource) -> np.ndarray:
    """The thumbnail that was stored when the image was hashed; made now for an image that was not."""
    with open_store() as store:
        row = store.execute("SELECT pixels FROM thumbnail WHERE picture = ?", (image.key,)).fetchone()
    if row is None:
        return make_thumbnail(image.open())
    return np.frombuffer(row[0], np.uint8).reshape(THUMBNAIL, THUMBNAIL, 3).astype(np.float32)


def make_thumbnail(image: Image.Image) -> np.ndarray:
    """Shrink an image to float RGB values [32, 32, 3] in [0, 255]."""
    return np.asarray(image.convert("RGB").resize((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS), dtype=np.float32)
