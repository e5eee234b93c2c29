"""Near-duplicate detection: whether two images are the same one, saved in another size or quality.

Perceptual hashes (the library imagehash: DCT, 256 bits) propose pairs that differ in at most `NEAR` bits; thumbnails of
32 x 32 pixels decide: no value of any pixel may differ by more than `APART` of 255. Measured: all of 45 crops of
photographs are recognised at JPEG quality 30, at half and double size, squashed, and at half size with quality 75; of
181 drawings of 128 pixels all at other sizes and at quality 75, 93 % at 50, 62 % at 30, 25 % at half size with 75. A
heart or a flag in another colour, or a face with another mouth, is told apart. A crop, even of a hundredth of each
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
    path = get_cache_folder() / "hashes" / f"phash-{BITS}-{VERSION}.sqlite"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(path)) as store:
            store.execute("CREATE TABLE IF NOT EXISTS hash (picture TEXT PRIMARY KEY, bits BLOB) WITHOUT ROWID")
            known: dict[str, bytes] = dict(store.execute("SELECT picture, bits FROM hash"))
            missing = list({image.key: image for image in images if image.key not in known}.values())
            problems = compute_hashes(store, missing, known, what)
    except (sqlite3.Error, OSError) as error:
        raise PolyclipError(
            f"Cannot store image hashes in {path}: {error}. Free some space, remove the file if it is damaged, or set "
            "POLYCLIP_CACHE."
        ) from error
    kept = [image for image in images if image.key in known]
    table = np.frombuffer(b"".join(known[image.key] for image in kept), dtype=np.uint8).reshape(len(kept), BITS // 8)
    return ImageHashes(kept, table, problems)


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
    with Progress(f"hashing {what}", len(missing)) as progress, ThreadPoolExecutor() as pool:
        for start in range(0, len(missing), BATCH):
            batch = missing[start : start + BATCH]
            found = list(pool.map(hash_image, batch))
            fresh = {image.key: bits for image, bits in zip(batch, found, strict=True) if isinstance(bits, bytes)}
            problems += [bits for bits in found if isinstance(bits, str)]
            with store:
                store.executemany("INSERT OR REPLACE INTO hash VALUES (?, ?)", fresh.items())
            known.update(fresh)
            progress.advance(len(batch))
    return problems


def hash_image(image: ImageSource) -> bytes | str:
    """Hash one image, or return the reason why it cannot be read."""
    try:
        return np.packbits(imagehash.phash(image.open(), SIDE).hash.flatten()).tobytes()
    except DataError as error:
        return str(error)


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
            thumbnails[image.key] = make_thumbnail(image.open())
    return bool(np.abs(thumbnails[first.key] - thumbnails[second.key]).max() <= APART)


def make_thumbnail(image: Image.Image) -> np.ndarray:
    """Shrink an image to float RGB values [32, 32, 3] in [0, 255]."""
    return np.asarray(image.convert("RGB").resize((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS), dtype=np.float32)
