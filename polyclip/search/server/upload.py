"""A picture that somebody sends: bounded in bytes before it is read and in pixels before it is decoded."""

import io
from collections.abc import Awaitable, Callable

from PIL import Image, UnidentifiedImageError
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.types import Message

from polyclip.data.images import MAX_PIXELS, decoded
from polyclip.errors import DataError
from polyclip.search.server.errors import Refused

MAX_UPLOAD = 20 * 2**20  # bytes of a whole request
DRAINED = (
    8 * MAX_UPLOAD
)  # a browser shows an answer only once it has sent its request; of larger ones the rest is cut off
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")  # of polyclip/data/images.py; no other decoder is ever tried
READ = "JPEG, PNG, WebP, GIF, BMP and TIFF are read"
FORMS = ("multipart/form-data", "application/x-www-form-urlencoded")
WHERE = "The picture sent"


async def form_of(request: Request) -> FormData:
    """The fields of a form, at most one file among them.

    Raises Refused: 413 for more than 20 MiB, 415 for a body that is no form. A form that is broken gives starlette's own 400.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() not in FORMS:
        raise Refused(
            415, f"Expected a form ({' or '.join(FORMS)}) with a file in the field 'picture', or words in 'q'."
        )
    length = request.headers.get("content-length", "0")
    if length.isdecimal() and int(length) > MAX_UPLOAD:
        if int(length) <= DRAINED:
            async for _ in request.stream():
                pass
        raise too_large(int(length))
    return await Request(request.scope, bounded(request.receive)).form(max_files=1, max_fields=20, max_part_size=2**16)


def bounded(receive: Callable[[], Awaitable[Message]]) -> Callable[[], Awaitable[Message]]:
    """The same messages. Raises Refused (413) once they hold more than 20 MiB: not every request says its length."""
    total = 0

    async def counted() -> Message:
        nonlocal total
        message = await receive()
        total += len(message.get("body", b""))
        if total > MAX_UPLOAD:
            raise too_large(total)
        return message

    return counted


def too_large(size: int) -> Refused:
    """The answer to a request of too many bytes."""
    return Refused(
        413,
        f"{WHERE} is too large: {size / 2**20:.0f} MiB or more, at most {MAX_UPLOAD // 2**20} are taken. Make it smaller.",
    )


def picture_of(data: bytes) -> Image.Image:
    """RGB of an uploaded file.

    Raises Refused: 422 for an empty or damaged file, 415 for what is no picture or of another format, 413 for more than 64 megapixels.
    """
    if not data:
        raise Refused(422, f"{WHERE} is empty (0 bytes).")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            width, height = image.size
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise Refused(
            413, f"{WHERE} has too many pixels, at most {MAX_PIXELS:,} are decoded. Make it smaller."
        ) from error
    except UnidentifiedImageError as error:
        raise Refused(415, f"{WHERE} is {kind_of(data)}; {READ}.") from error
    except (OSError, SyntaxError, ValueError) as error:
        raise Refused(422, f"{WHERE} is damaged or truncated.") from error
    if width * height > MAX_PIXELS:
        raise Refused(
            413,
            f"{WHERE} has {width:,} x {height:,} pixels, at most {MAX_PIXELS:,} in all are decoded. Make it smaller.",
        )
    try:
        return decoded(data, WHERE)
    except DataError as error:
        raise Refused(422, str(error)) from error


def kind_of(data: bytes) -> str:
    """What a file seems to be that is none of the formats read."""
    head = data[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if head.startswith((b"<?xml", b"<svg", b"<!doctype svg")):
        return "an SVG or XML drawing, which is not drawn here"
    if data[4:12] in (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftyphevc", b"ftypavif"):
        return "a HEIC or AVIF picture, as some phones write them"
    return "no picture that can be read"
