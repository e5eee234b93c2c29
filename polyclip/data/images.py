"""Picture files of one's own: found, bounded in size, and left out by name when they cannot be read."""

import io
import mimetypes
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

from polyclip.core.storage import sha256
from polyclip.data.types import ImageSource
from polyclip.errors import DataError

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"}
# What is decoded, whatever a file's name says: Pillow's decoder of EPS, for one, would start another program.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
MAX_PIXELS = 64_000_000  # decoded, 3 bytes each: 192 MB
MAX_BYTES = 100_000_000
GAP = 4  # times the edge that is wanted: from there on a JPEG is decoded at a part of its size (a photograph's vector: cosine above 0.9998, see tests)
EDGE: ContextVar[int | None] = ContextVar("edge", default=None)  # that pictures are wanted with; None: as they are
# Pillow prints this beside the sentence of ours that names the picture; its error for twice the size stays one.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


def find_pictures(folder: Path) -> list[Path]:
    """Every picture file below `folder`, sorted; links that lead outside are not followed.

    Raises DataError when there is none.
    """
    return look_through(folder)[0]


def look_through(folder: Path) -> tuple[list[Path], list[str]]:
    """Every picture file below `folder`, sorted, and one sentence for each file of a picture format that is not read, such as SVG.

    Links that lead outside are not followed. Raises DataError where there is no folder, or no picture in it that is read.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder.")
    files = sorted(inside(folder))
    found = [path for path in files if path.suffix.lower() in SUFFIXES]
    if not found:
        raise DataError(f"{folder} has no picture; expected files ending in {', '.join(sorted(SUFFIXES))}.")
    kinds = [(path, mimetypes.guess_type(path.name)[0] or "") for path in files if path.suffix.lower() not in SUFFIXES]
    return found, [
        f"{path}: {kind} is not read; save it as PNG or JPEG." for path, kind in kinds if kind.startswith("image/")
    ]


def inside(folder: Path) -> Iterator[Path]:
    """Files below a folder, without those that links lead to outside it, or that cannot be looked at."""
    root = folder.resolve()
    for path in folder.rglob("*"):
        try:
            if path.is_file() and path.resolve().is_relative_to(root):
                yield path
        except OSError:  # gone meanwhile, or a circle of links
            continue


def readable(paths: list[Path]) -> tuple[list[ImageSource], list[str]]:
    """The pictures that can be read, and one sentence for each that cannot; none is replaced by another."""
    pictures, problems = [], []
    for path in paths:
        try:
            picture = picture_of(path)
            picture.open()
            pictures.append(picture)
        except DataError as error:
            problems.append(str(error))
    return pictures, problems


def picture_of(path: Path) -> ImageSource:
    """A picture by its file; decoded when it is asked for.

    Raises DataError for a file that may not be read.
    """
    try:
        return ImageSource(str(path), sha256(path), partial(open_picture, path))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}).") from error


def check_bytes(path: Path) -> None:
    """Raises DataError for a file that is empty or has more bytes than are read."""
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise DataError(f"{path}: {size:,} bytes, at most {MAX_BYTES:,} are read.")
    if size == 0:
        raise DataError(f"{path}: empty, 0 bytes; copy the picture again.")


def open_picture(path: Path) -> Image.Image:
    """RGB, turned as the camera's note says, transparent parts on white.

    Raises DataError for what `decoded` and `check_bytes` refuse, the latter before anything is read, and for a file that may not be read.
    """
    try:
        check_bytes(path)
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}).") from error
    return decoded(data, str(path))


@contextmanager
def wanted(edge: int) -> Iterator[None]:
    """What is opened meanwhile is going to be resized to `edge` pixels: a JPEG far larger is decoded at a half, a quarter or an eighth of its edges.

    A photograph of 12 megapixels is so decoded in a quarter of the time. Smaller pictures and other formats stay as they are. An edge of 0: it is
    enough to know whether they can be read to their end.
    """
    token = EDGE.set(edge)
    try:
        yield
    finally:
        EDGE.reset(token)


def decoded(data: bytes, where: str) -> Image.Image:
    """RGB, turned as the camera's note says, transparent parts on white, of a picture file's bytes; `where` names it in errors.

    Of the file's own size, or smaller where that is enough for what is `wanted`.

    Raises DataError for what is no picture, of another format than `FORMATS`, truncated, or would be larger than 64 megapixels; the size
    is read from the header before anything is decoded.
    """
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise DataError(
                    f"{where}: {image.width} x {image.height} pixels, at most {MAX_PIXELS:,} in all are decoded."
                )
            lighten(image)
            return on_white(ImageOps.exif_transpose(image))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(f"{where}: too large, at most {MAX_PIXELS:,} pixels are decoded ({error}).") from error
    except UnidentifiedImageError as error:
        raise DataError(
            f"{where}: not a picture that can be read, expected {', '.join(FORMATS)} ({described(data)})."
        ) from error
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{where}: damaged or truncated picture ({error}).") from error


def rendered(svg: str, pixels: int) -> Image.Image:
    """Draw SVG text on white, `pixels` wide, without the system's fonts.

    Raises ValueError for what is no SVG, or has no size.
    """
    import resvg_py

    png = bytes(
        resvg_py.svg_to_bytes(svg_string=svg, width=pixels, background="#ffffff", skip_system_fonts=True, dpi=96)
    )
    return Image.open(io.BytesIO(png)).convert("RGB")


def lighten(image: Image.Image) -> None:
    """Let a JPEG's decoder stop at a part of its edges, the smallest that is enough for what is `wanted` and divides both of them: no pixel moves."""
    edge = EDGE.get()
    if edge is None:
        return
    for part in (8, 4, 2):
        fits = min(image.size) >= part * GAP * edge and not any(side % part for side in image.size)
        if fits or edge == 0:
            image.draft(None, (image.width // part, image.height // part))
            return


def described(data: bytes) -> str:
    """What bytes that are no picture seem to be."""
    if not data:
        return "empty, 0 bytes"
    start = data[:512].lstrip().lower()
    if b"<svg" in start:
        return "an SVG drawing"
    return "a text or web page" if start.startswith((b"<!doctype", b"<html", b"<?xml")) else "unknown bytes"


def on_white(image: Image.Image) -> Image.Image:
    """RGB; what is transparent becomes white."""
    if image.has_transparency_data:
        drawn = image.convert("RGBA")
        white = Image.new("RGBA", drawn.size, "white")
        return Image.alpha_composite(white, drawn).convert("RGB")
    return image.convert("RGB")
