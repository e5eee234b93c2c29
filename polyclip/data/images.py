"""Image files: limited in size, decoded, and reported by name when they cannot be read."""

import io
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from pathlib import Path

from PIL import ExifTags, Image, UnidentifiedImageError

from polyclip.core.storage import hash_file, hash_parts, read_plain_bytes
from polyclip.data.image_modes import convert_to_rgb, is_ranged
from polyclip.data.types import ImageSource
from polyclip.errors import DataError

SUFFIXES = {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"}
# What is decoded, whatever a file's name says: Pillow's decoder of EPS, for one, would start another program.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
MAX_PIXELS = 64_000_000  # decoded, 3 bytes each: 192 MB
MAX_RATIO = 256  # of the edges: resizing the shorter one to 512 pixels then stays below MAX_PIXELS
MAX_BYTES = 100_000_000
# What Pillow raises on malformed EXIF and TIFF tags; the pixels beside them may be whole.
TAG_FAULTS = (struct.error, TypeError, AttributeError, ValueError, KeyError, IndexError, SyntaxError, ArithmeticError)
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# A JPEG of at least this many times the required edge is decoded at a part of its size (cosine of a photograph's
# embeddings above 0.9998, see tests).
GAP = 4
EDGE: ContextVar[int | None] = ContextVar("edge", default=None)  # edge that images are decoded for; None: full size


def make_image_source(path: Path) -> ImageSource:
    """Wrap an image file so that it is decoded when it is opened.

    Raises:
        DataError: The file cannot be read.

    """
    try:
        return ImageSource(str(path), compute_image_key(path), partial(open_image, path))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}).") from error


def compute_image_key(path: Path) -> str:
    """Hash of an image file, and of how its values become 8-bit ones where they have more bits."""
    key = hash_file(path)
    try:
        with Image.open(path, formats=FORMATS) as image:
            return hash_parts(key, f"{image.mode} by range") if is_ranged(image.mode) else key
    except (*TAG_FAULTS, OSError, Image.DecompressionBombError):  # what is wrong is said when it is decoded
        return key


def check_file_size(path: Path) -> None:
    """Check that a file is neither empty nor larger than `MAX_BYTES`.

    Raises:
        DataError: The file is empty or too large.

    """
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise DataError(f"{path}: {size:,} bytes, at most {MAX_BYTES:,} are read.")
    if size == 0:
        raise DataError(f"{path}: empty, 0 bytes; copy the file again.")


def open_image(path: Path) -> Image.Image:
    """Decode an image file: RGB, upright by its EXIF orientation, transparent parts on white.

    Args:
        path: The file.

    Returns:
        The image.

    Raises:
        DataError: The file cannot be read, is empty or too large, or `decode_image` refuses its content.

    """
    try:
        check_file_size(path)
        data = read_plain_bytes(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}).") from error
    return decode_image(data, str(path))


@contextmanager
def decode_for_edge(edge: int) -> Iterator[None]:
    """Within the block, images are decoded for resizing to `edge` pixels.

    A JPEG that is far larger is decoded at a half, a quarter or an eighth of its edges: a photograph of 12 megapixels
    in a quarter of the time. Smaller images and other formats stay as they are.

    Args:
        edge: Edge in pixels; 0 only checks that images can be read to their end.

    """
    token = EDGE.set(edge)
    try:
        yield
    finally:
        EDGE.reset(token)


def decode_image(data: bytes, where: str) -> Image.Image:
    """Decode the bytes of an image file: RGB, upright by its EXIF orientation, transparent parts on white.

    The size is that of the file, or smaller within `decode_for_edge`; it is read from the header before anything is
    decoded.

    Args:
        data: The bytes of the file.
        where: Name of the image in error messages.

    Returns:
        The image.

    Raises:
        DataError: The bytes are not an image of a supported format (`FORMATS`), are truncated, hold more than 64
            megapixels, or have a mode that `convert_to_rgb` refuses.

    """
    try:
        with open_header(data) as image:
            check_dimensions(image, where)
            reduce_decoding(image)
            return convert_to_rgb(turn_upright(image))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(f"{where}: too large, at most {MAX_PIXELS:,} pixels are decoded ({error}).") from error
    except UnidentifiedImageError as error:
        raise DataError(
            f"{where}: not a readable image, expected {', '.join(FORMATS)} ({describe_bytes(data)})."
        ) from error
    except DataError as error:
        raise error if str(error).startswith(where) else DataError(f"{where}: {error}.") from error
    except Exception as error:  # Pillow's decoders raise whatever a damaged file leads them to, such as struct.error
        raise DataError(f"{where}: damaged or truncated image ({' '.join(str(error).split())[:200]}).") from error


def open_header(data: bytes) -> Image.Image:
    """Open an image of one of the supported formats; nothing is decoded.

    Raises:
        UnidentifiedImageError: The bytes are none of these formats.

    """
    with warnings.catch_warnings():  # Pillow warns of metadata that it cannot read; the pixels are whole
        warnings.filterwarnings("ignore", category=UserWarning, module="PIL")
        return Image.open(io.BytesIO(data), formats=FORMATS)


def check_dimensions(image: Image.Image, where: str) -> None:
    """Check that an image can be decoded and resized in memory.

    Args:
        image: The image, opened and not decoded.
        where: Name of the image in the error message.

    Raises:
        DataError: It has more than 64 megapixels, or one edge is more than 256 times the other.

    """
    size = f"{where}: {image.width} x {image.height} pixels"
    if image.width * image.height > MAX_PIXELS:
        raise DataError(f"{size}, at most {MAX_PIXELS:,} in all are decoded.")
    if max(image.size) > MAX_RATIO * min(image.size):
        raise DataError(f"{size}, one edge may be at most {MAX_RATIO} times the other.")


def turn_upright(image: Image.Image) -> Image.Image:
    """Decode an image and turn it by its EXIF orientation; it stays as it is where the tags cannot be read.

    Raises:
        OSError: The pixels are damaged or truncated.

    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning, module="PIL")
        try:
            image.load()
        except TAG_FAULTS:
            if not is_decoded(image):
                raise
        try:
            turn = TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
        except (*TAG_FAULTS, OSError):
            return image
    return image if turn is None else image.transpose(turn)


def is_decoded(image: Image.Image) -> bool:
    """Whether all pixels have been decoded: a TIFF reads some tags only after them."""
    return not getattr(image, "tile", []) and getattr(image, "_im", None) is not None


def reduce_decoding(image: Image.Image) -> None:
    """Let a JPEG's decoder work at a part of its edges, the smallest that `decode_for_edge` allows.

    The part divides both edges, so that no pixel moves.
    """
    edge = EDGE.get()
    if edge is None:
        return
    for part in (8, 4, 2):
        fits = min(image.size) >= part * GAP * edge and not any(side % part for side in image.size)
        if fits or edge == 0:
            image.draft(None, (image.width // part, image.height // part))
            return


def describe_bytes(data: bytes) -> str:
    """Describe what bytes that are not an image seem to be."""
    if not data:
        return "empty, 0 bytes"
    start = data[:512].lstrip().lower()
    if b"<svg" in start:
        return "an SVG drawing"
    return "a text or web page" if start.startswith((b"<!doctype", b"<html", b"<?xml")) else "unknown bytes"
