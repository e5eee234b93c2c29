"""Uploaded images: limited in bytes before they are read and in pixels before they are decoded."""

from collections.abc import Awaitable, Callable

from PIL import Image, UnidentifiedImageError
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.types import Message

from polyclip.data.images import MAX_PIXELS, decode_image, open_header
from polyclip.errors import DataError
from polyclip.search.server.errors import RequestError

MAX_UPLOAD = 20 * 2**20  # bytes of a whole request
DRAINED = (
    8 * MAX_UPLOAD
)  # a browser shows an answer only once it has sent its request; of larger ones the rest is cut off
FORMATS = ("JPEG", "PNG", "WebP", "GIF", "BMP", "TIFF")
FORMS = ("multipart/form-data", "application/x-www-form-urlencoded")
WHERE = "The image sent"


async def read_form(request: Request) -> FormData:
    """Read the fields of a form, with at most one file.

    Raises:
        RequestError: (413) The body exceeds 20 MiB, or (415) is not a form. A malformed form gives starlette's own 400.

    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() not in FORMS:
        raise RequestError(
            415, f"Expected a form ({' or '.join(FORMS)}) with a file in the field 'picture', or words in 'q'."
        )
    length = request.headers.get("content-length", "0")
    if length.isdecimal() and int(length) > MAX_UPLOAD:
        if int(length) <= DRAINED:
            async for _ in request.stream():
                pass
        raise make_size_error(int(length))
    return await Request(request.scope, limit_size(request.receive)).form(
        max_files=1, max_fields=20, max_part_size=2**16
    )


def limit_size(receive: Callable[[], Awaitable[Message]]) -> Callable[[], Awaitable[Message]]:
    """Wrap a message receiver with a limit of 20 MiB, since not every request states its length.

    Raises:
        RequestError: (413) The limit is exceeded.

    """
    total = 0

    async def counted() -> Message:
        nonlocal total
        message = await receive()
        total += len(message.get("body", b""))
        if total > MAX_UPLOAD:
            raise make_size_error(total)
        return message

    return counted


def make_size_error(size: int) -> RequestError:
    """Return the error for a request that is too large."""
    return RequestError(
        413,
        f"{WHERE} is too large: {size / 2**20:.0f} MiB or more, at most {MAX_UPLOAD // 2**20} are taken. Make it "
        "smaller.",
    )


def decode_upload(data: bytes) -> Image.Image:
    """Decode an uploaded image to RGB.

    Raises:
        RequestError: (422) The file is empty or damaged, (415) not an image or of another format, or (413) exceeds 64
            megapixels.

    """
    if not data:
        raise RequestError(422, f"{WHERE} is empty (0 bytes).", key="error_image")
    try:
        with open_header(data) as image:
            width, height = image.size
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise RequestError(
            413, f"{WHERE} has too many pixels, at most {MAX_PIXELS:,} are decoded. Make it smaller."
        ) from error
    except UnidentifiedImageError as error:
        raise RequestError(
            415, f"{WHERE} is {describe_format(data)}; {', '.join(FORMATS[:-1])} and {FORMATS[-1]} are read."
        ) from error
    except Exception as error:  # Pillow's decoders raise whatever a damaged file leads them to
        raise RequestError(422, f"{WHERE} is damaged or truncated.", key="error_image") from error
    if width * height > MAX_PIXELS:
        raise RequestError(
            413,
            f"{WHERE} has {width:,} x {height:,} pixels, at most {MAX_PIXELS:,} in all are decoded. Make it smaller.",
        )
    try:
        return decode_image(data, WHERE)
    except DataError as error:
        raise RequestError(422, str(error), key="error_image") from error


def describe_format(data: bytes) -> str:
    """Describe a file that is in none of the supported formats."""
    head = data[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if head.startswith((b"<?xml", b"<svg", b"<!doctype svg")):
        return "an SVG or XML drawing, which is not drawn here"
    if data[4:12] in (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftyphevc", b"ftypavif"):
        return "a HEIC or AVIF image, as some phones write them"
    return "no image that can be read"
