"""How pictures of an index are shown: by row number, drawn anew at a bounded size, so that no file is ever handed out as it is."""

import io
import logging
import os
from pathlib import Path

from PIL import Image

from polyclip.core.storage import cache_folder, digest, writing
from polyclip.data.images import open_picture
from polyclip.errors import DataError, PolyclipError
from polyclip.search.index import Index
from polyclip.search.server.errors import Refused

SMALL, LARGE = 320, 1600  # pixels on the longer side, at most
QUALITY = 82  # of WebP
log = logging.getLogger("polyclip.search.server")


def file_of(index: Index, row: int) -> Path:
    """The file of a row, every link followed. Raises Refused (404) where it is gone, is no row, or a link leads out of the index' root."""
    if not 0 <= row < len(index.paths):
        raise Refused(404, f"The index has no picture {row}; it has {len(index.paths):,}, counted from 0.")
    root = index.root.resolve()
    path = (root / index.paths[row]).resolve()
    if not path.is_relative_to(root):
        raise Refused(404, f"Picture {row} is a link that leads out of the folder that was indexed; it is not shown.")
    if not path.is_file():
        raise Refused(
            404,
            f"{index.paths[row]} is no longer where the index found it. Put it back, or run 'polyclip index' again.",
        )
    return path


def mark(path: Path, edge: int) -> str:
    """What changes whenever the picture does."""
    facts = path.stat()
    return digest(os.fsencode(path), str(facts.st_mtime_ns), str(facts.st_size), str(edge))[:32]


def small(path: Path) -> bytes:
    """WebP of at most 320 pixels a side, from the cache where it is there. Raises Refused (422) for a picture that cannot be read."""
    name = mark(path, SMALL)
    kept = cache_folder() / "thumbnails" / name[:2] / f"{name}.webp"
    if kept.is_file():
        return kept.read_bytes()
    data = drawn(path, SMALL)
    try:
        with writing(kept, what="a thumbnail") as temporary:
            temporary.write_bytes(data)
    except PolyclipError as error:
        log.warning("%s", error)
    return data


def large(path: Path) -> bytes:
    """WebP of at most 1,600 pixels a side; not kept. Raises Refused (422) for a picture that cannot be read."""
    return drawn(path, LARGE)


def drawn(path: Path, edge: int) -> bytes:
    """WebP of at most `edge` pixels a side, without what the file says of its maker and place."""
    try:
        image = open_picture(path)
    except DataError as error:
        raise Refused(
            422, f"{path.name} cannot be shown: it is damaged, larger than is decoded, or no picture."
        ) from error
    image.thumbnail((edge, edge), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=QUALITY)
    return buffer.getvalue()
