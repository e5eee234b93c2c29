"""The requests of `speed/serving_load.py`: kinds of valid and of bad ones, as bytes, with the statuses they may get."""

import io
import itertools
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import quote

from PIL import Image

HOST = "127.0.0.1"
FIELD = b'--x\r\nContent-Disposition: form-data; name="picture"; filename="a.png"\r\n\r\n'
FORM = "multipart/form-data; boundary=x"
JSON = "application/json"


@dataclass(frozen=True)
class Kind:
    """One kind of request; `write` makes the next one."""

    name: str
    write: Callable[[], bytes]
    statuses: tuple[int, ...]
    weight: float = 1.0


def write_head(method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
    """Return a whole request; an underscore in the name of a header is a hyphen."""
    given = {"host": HOST} | {name.replace("_", "-"): value for name, value in headers.items()}
    given |= {"content-length": str(len(body))} if method == "POST" and "content-length" not in given else {}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in given.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def write_upload(data: bytes) -> bytes:
    """Return a form with an image file."""
    return write_head("POST", "/api/search", FIELD + data + b"\r\n--x--\r\n", content_type=FORM)


def draw_png(edge: int, colour: str = "red") -> bytes:
    """Return a plain PNG."""
    buffer = io.BytesIO()
    Image.new("RGB", (edge, edge), colour).save(buffer, "PNG")
    return buffer.getvalue()


def list_valid(queries: list[str], index: str, rows: int) -> list[Kind]:
    """Return the kinds of valid requests.

    Args:
        queries: Texts; none is asked twice as it stands.
        index: Name of the index.
        rows: Images of the index.

    Returns:
        The kinds, each with the share of requests that it makes up.

    """
    numbers, chance = itertools.count(), random.Random(0)

    def word() -> str:
        number = next(numbers)
        return f"{queries[number % len(queries)]} {number}"

    def picture() -> bytes:
        return draw_png(64, chance.choice(("red", "green", "blue", "white")))

    def row() -> int:
        return chance.randrange(rows)

    return [
        Kind("words", lambda: write_head("GET", f"/api/search?q={quote(word())}&top=12"), (200,), 40),
        Kind(
            "words as JSON",
            lambda: write_head("POST", "/api/search", json.dumps({"q": word()}).encode(), content_type=JSON),
            (200,),
            15,
        ),
        Kind("the page", lambda: write_head("GET", f"/?q={quote(word())}"), (200,), 10),
        Kind("small image", lambda: write_head("GET", f"/small/{index}/{row()}"), (200,), 20),
        Kind("similar images", lambda: write_head("GET", f"/api/search?like={row()}"), (200,), 5),
        Kind("image sent", lambda: write_upload(picture()), (200,), 3),
        Kind("health", lambda: write_head("GET", "/health"), (200,), 7),
    ]


def list_bad(index: str) -> list[Kind]:
    """Return thirty kinds of bad requests."""
    named = [*list_bad_fields(), *list_bad_addresses(index), *list_bad_bodies()]
    return [Kind(name, lambda sent=sent: sent, statuses) for name, sent, statuses in named]  # type: ignore[misc]


def list_bad_fields() -> Iterator[tuple[str, bytes, tuple[int, ...]]]:
    """Yield name, request and statuses of searches with a bad value."""
    for name, asked, statuses in (
        ("unknown language", "q=x&lang=klingonese", (422,)),
        ("a file as language", "q=x&lang=/etc/passwd.toml", (422,)),
        ("a folder above", "q=x&folder=../..", (422,)),
        ("unknown index", "q=x&model=nope", (404,)),
        ("row beyond the index", "q=x&like=99999999", (422,)),
        ("not a number", "q=x&least=nan", (422,)),
        ("number of 5,000 digits", f"q=x&top={'9' * 5000}", (422,)),
        ("text of 5,000 letters", f"q={'x' * 5000}", (422,)),
        ("invisible text", "q=%E2%80%8B", (422,)),
        ("NUL", "q=%00", (200, 422)),
        ("half a surrogate pair", "q=%ED%A0%80", (200, 422)),
        ("10,000 fields", "&".join(["q=x"] * 10_000), (200, 400)),
    ):
        yield name, write_head("GET", f"/api/search?{asked}"), statuses


def list_bad_addresses(index: str) -> Iterator[tuple[str, bytes, tuple[int, ...]]]:
    """Yield name, request and statuses of requests to the wrong place, or from there, or that are not HTTP."""
    yield "unknown page", write_head("GET", "/nope"), (404,)
    yield "path traversal", write_head("GET", "/static/..%2f..%2f..%2fetc/passwd"), (404,)
    yield "negative row", write_head("GET", f"/small/{index}/-1"), (404,)
    yield "row of 5,000 digits", write_head("GET", f"/large/{index}/{'9' * 5000}"), (404,)
    yield "unknown method", write_head("BREW", "/"), (405,)
    yield "another host", write_head("GET", "/", host="evil.example"), (421,)
    yield "another site", write_head("GET", "/api/search?q=x", sec_fetch_site="cross-site"), (403,)
    yield "an origin that is none", write_head("POST", "/api/search", origin="http://["), (403,)
    yield "no host", b"GET / HTTP/1.1\r\n\r\n", (400,)
    yield "head of 100,000 bytes", write_head("GET", "/", x="x" * 100_000), (200, 400)
    yield "not HTTP", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", (400,)


def list_bad_bodies() -> Iterator[tuple[str, bytes, tuple[int, ...]]]:
    """Yield name, request and statuses of bodies that cannot be read."""
    for name, body, statuses in (
        ("broken JSON", b'{"q": ', (400,)),
        ("JSON 10,000 deep", b"[" * 10_000, (400,)),
        ("unknown JSON key", b'{"words": "x"}', (400,)),
        ("JSON of another type", b'{"q": {"q": "x"}}', (400,)),
    ):
        yield name, write_head("POST", "/api/search", body, content_type=JSON), statuses
    yield "another kind of body", write_head("POST", "/api/search", b"q=x", content_type="text/plain"), (415,)
    yield "form without boundary", write_head("POST", "/api/search", FIELD, content_type="multipart/form-data"), (400,)
    too_long = write_head("POST", "/api/search", content_type=FORM, content_length="99999999999999")
    yield "a length beyond all bounds", too_long, (413,)
    for name, data, statuses in (
        ("empty image", b"", (422,)),
        ("text as image", b"this is no image", (415,)),
        ("image cut short", draw_png(64)[:-60], (422,)),
        ("SVG", b"<svg xmlns='http://www.w3.org/2000/svg'/>", (415,)),
    ):
        yield name, write_upload(data), statuses
