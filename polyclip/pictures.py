"""Picture files of one's own: found, bounded in size, and left out by name when they cannot be read."""

import io
from functools import partial
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

from polyclip.errors import DataError
from polyclip.records import Picture
from polyclip.storage import sha256

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"}
MAX_PIXELS = 64_000_000  # decoded, 3 bytes each: 192 MB
MAX_BYTES = 100_000_000


def find_pictures(folder: Path) -> list[Path]:
    """Every picture file below `folder`, sorted; links that lead outside are not followed.

    Raises DataError when there is none.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder.")
    root = folder.resolve()
    found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file() and p.resolve().is_relative_to(root))
    if not found:
        raise DataError(f"{folder} has no picture; expected files ending in {', '.join(sorted(SUFFIXES))}.")
    return found


def readable(paths: list[Path]) -> tuple[list[Picture], list[str]]:
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


def picture_of(path: Path) -> Picture:
    """A picture by its file; decoded when it is asked for."""
    return Picture(str(path), sha256(path), partial(open_picture, path))


def open_picture(path: Path) -> Image.Image:
    """RGB, turned as the camera's note says, transparent parts on white.

    Raises DataError for what `decoded` refuses, and for a file of more than 100 MB before it is read.
    """
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise DataError(f"{path}: {size:,} bytes, at most {MAX_BYTES:,} are read.")
    return decoded(path.read_bytes(), str(path))


def decoded(data: bytes, where: str, *, draft: bool = False) -> Image.Image:
    """RGB, turned as the camera's note says, transparent parts on white, of a picture file's bytes; `where` names it in errors.

    A `draft` of a JPEG has an eighth of its edges: enough to know whether it can be read to its end.

    Raises DataError for what is no picture, is truncated, or would be larger than 64 megapixels; the size is read from the header
    before anything is decoded.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            if image.width * image.height > MAX_PIXELS:
                raise DataError(f"{where}: {image.width} x {image.height} pixels, at most {MAX_PIXELS:,} in all are decoded.")
            if draft:
                image.draft("RGB", (1, 1))
            return on_white(ImageOps.exif_transpose(image))
    except (UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise DataError(f"{where}: not a picture that can be read ({type(error).__name__}).") from error
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{where}: damaged or truncated picture ({error}).") from error


def on_white(image: Image.Image) -> Image.Image:
    """RGB; what is transparent becomes white."""
    if image.has_transparency_data:
        drawn = image.convert("RGBA")
        white = Image.new("RGBA", drawn.size, "white")
        return Image.alpha_composite(white, drawn).convert("RGB")
    return image.convert("RGB")
