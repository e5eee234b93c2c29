"""SVG drawings as images; many are drawn ahead of their use by processes of their own.

The renderer holds Python's lock for milliseconds a drawing, so that threads draw one at a time and keep others waiting.
"""

import io
import json
import os
import subprocess
import sys
import tempfile
from base64 import b64decode, b64encode
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import lru_cache
from threading import Thread
from typing import IO

from PIL import Image

from polyclip.core.json import parse_json
from polyclip.data.svg import draw_svg
from polyclip.data.types import ImageSource

KEPT = 4096  # drawings, three to six kilobytes each
FEW = 64  # drawings; so many take a third of a second, and a process a fifth to start
MOST = 4  # processes
PATIENCE = 60  # seconds that a drawing may take elsewhere
ROOM = 1 << 20  # bytes that a process may be ahead of this one, which is often kept from reading
PROGRAM = "import sys; sys.path[:] = sys.argv[1:]; from polyclip.data.drawings import serve_drawings; serve_drawings()"


@dataclass(frozen=True)
class Drawing:
    """An SVG text, which calling it makes an image.

    Attributes:
        svg: The text.
        pixels: Width of the image.

    """

    svg: str
    pixels: int

    def __call__(self) -> Image.Image:
        """Render it on white, RGB.

        Raises:
            ValueError: As `polyclip.data.svg.render_svg` raises.

        """
        return Image.open(io.BytesIO(draw_once(self))).convert("RGB")


@lru_cache(maxsize=KEPT)
def draw_once(drawing: Drawing) -> bytes:
    """The drawing as PNG, kept: a run hashes it and encodes it, and to read it takes a fifth of drawing it."""
    try:
        found = _ahead[drawing].result(PATIENCE) if drawing in _ahead else b""
    except TimeoutError:
        found = b""
    return found or draw_svg(drawing.svg, drawing.pixels)


_ahead: dict[Drawing, Future[bytes]] = {}  # of those that other processes draw or have drawn; empty bytes: failed there


def draw_ahead(images: Sequence[ImageSource]) -> None:
    """Let other processes draw those of the images that are drawings, in this order, where another core can.

    What they do not draw, `draw_once` draws when it is asked for.

    Args:
        images: Images that will be opened soon.

    """
    found = dict.fromkeys(image.open for image in images if isinstance(image.open, Drawing))
    fresh = [drawing for drawing in found if drawing not in _ahead]
    processes = min(MOST, (os.cpu_count() or 1) - 1)  # this one has work of its own
    if len(fresh) < FEW or processes < 1 or not sys.executable:
        return
    promised = [(drawing, Future[bytes]()) for drawing in fresh]
    _ahead.update(promised)
    for number in range(processes):
        Thread(target=draw_elsewhere, args=(dict(promised[number::processes]),), daemon=True).start()


def forget_drawings() -> None:
    """Drop every drawing that is kept or under way: it will be drawn again."""
    _ahead.clear()
    draw_once.cache_clear()


def is_drawing(image: ImageSource) -> bool:
    """Whether an image is drawn, rather than decoded."""
    return isinstance(image.open, Drawing)


def draw_elsewhere(promised: dict[Drawing, Future[bytes]]) -> None:
    """Let one process draw; afterwards each drawing has its result, empty where the process did not make it."""
    try:
        with tempfile.TemporaryFile() as wanted:
            wanted.writelines(json.dumps([one.svg, one.pixels]).encode() + b"\n" for one in promised)
            wanted.seek(0)
            collect_drawings(promised, wanted)
    except (OSError, ValueError):  # no room for the file, no further process, or what it wrote is no base64
        pass
    finally:
        for ahead in promised.values():
            if not ahead.done():
                ahead.set_result(b"")


def collect_drawings(promised: dict[Drawing, Future[bytes]], wanted: IO[bytes]) -> None:
    """Run the process on a file of what is wanted, and take over each drawing as soon as it is made."""
    with subprocess.Popen(
        [sys.executable, "-P", "-c", PROGRAM, *sys.path],
        stdin=wanted,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        pipesize=ROOM,
    ) as process:
        for ahead, line in zip(promised.values(), process.stdout or (), strict=False):
            ahead.set_result(b64decode(line.rstrip(), validate=True))


def serve_drawings() -> None:
    """Draw what standard input asks for, a JSON array of text and pixels a line; write PNG in base64, a line each.

    A line is empty where the text cannot be drawn: whoever asks for the drawing draws it again, and gets the error.
    """
    for line in sys.stdin.buffer:
        svg, pixels = parse_json(line)
        try:
            found = draw_svg(svg, pixels)
        except ValueError:
            found = b""
        sys.stdout.buffer.write(b64encode(found) + b"\n")
        sys.stdout.buffer.flush()
