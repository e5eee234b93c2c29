"""Indexed images by row number, re-encoded at a bounded size, so that no original file is ever sent."""

import io
import logging
import os
from pathlib import Path

from PIL import Image

from polyclip.core.storage import get_cache_folder, hash_parts, write_atomically
from polyclip.data.images import open_image
from polyclip.errors import DataError, PolyclipError
from polyclip.search.index import Index
from polyclip.search.server.errors import RequestError

SMALL, LARGE = 320, 1600  # pixels on the longer side, at most
QUALITY = 82  # of WebP
log = logging.getLogger("polyclip.search.server")


def find_image_file(index: Index, row: int) -> Path:
    """Return the file of a row, all links resolved.

    Raises:
        RequestError: (404) The row does not exist, the file is gone, or a link leads out of the index's root.

    """
    if not 0 <= row < len(index.paths):
        raise RequestError(404, f"The index has no image {row}; it has {len(index.paths):,}, counted from 0.")
    root = index.root.resolve()
    path = (root / index.paths[row]).resolve()
    if not index.manifest.follow_links and not path.is_relative_to(root):
        raise RequestError(
            404, f"Image {row} is a link that leads out of the folder that was indexed; it is not shown."
        )
    if not path.is_file():
        raise RequestError(
            404,
            f"{index.paths[row]} is no longer where the index found it. Put it back, or run 'polyclip index' again.",
        )
    return path


def compute_etag(path: Path, edge: int) -> str:
    """Return a string that changes whenever the image does.

    Raises:
        RequestError: (404) The file is gone.

    """
    try:
        facts = path.stat()
    except OSError as error:
        raise RequestError(404, f"{path.name} is no longer where the index found it.") from error
    return hash_parts(os.fsencode(path), str(facts.st_mtime_ns), str(facts.st_size), str(edge))[:32]


def encode_small(path: Path) -> bytes:
    """Encode an image as WebP of at most 320 pixels a side, cached.

    Raises:
        RequestError: (422) The image cannot be read.

    """
    name = compute_etag(path, SMALL)
    kept = get_cache_folder() / "thumbnails" / name[:2] / f"{name}.webp"
    if kept.is_file():
        return kept.read_bytes()
    data = encode_webp(path, SMALL)
    try:
        with write_atomically(kept, what="a thumbnail") as temporary:
            temporary.write_bytes(data)
    except PolyclipError as error:
        log.warning("%s", error)
    return data


def encode_large(path: Path) -> bytes:
    """Encode an image as WebP of at most 1,600 pixels a side, not cached.

    Raises:
        RequestError: (422) The image cannot be read.

    """
    return encode_webp(path, LARGE)


def encode_webp(path: Path, edge: int) -> bytes:
    """Encode an image as WebP of at most `edge` pixels a side, without metadata."""
    try:
        image = open_image(path)
    except DataError as error:
        raise RequestError(
            422,
            f"{path.name} cannot be shown: it is damaged, larger than is decoded, or no image.",
            key="error_image",
        ) from error
    image.thumbnail((edge, edge), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=QUALITY)
    return buffer.getvalue()
