"""Thumbnails of the hits as one small image, numbered by rank, for terminals."""

import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from polyclip.data.images import decode_for_edge, open_image
from polyclip.errors import DataError

EDGE = 160  # pixels of a tile, with its margin
MARGIN = 4
PAPER, INK, EMPTY = "white", "black", "#c8c8c8"
TEXT = 22  # pixels


def draw_thumbnails(paths: Sequence[Path], across: int) -> bytes:
    """Draw thumbnails in rows, numbered from 1.

    Args:
        paths: Image files, at least one; one that cannot be read any more is an empty tile.
        across: Tiles in a row, >= 1.

    Returns:
        A PNG file.

    """
    rows = -(-len(paths) // across)
    sheet = Image.new("RGB", (min(across, len(paths)) * EDGE, rows * EDGE), PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(TEXT)
    for place, path in enumerate(paths):
        left, top = place % across * EDGE, place // across * EDGE
        inner = EDGE - 2 * MARGIN
        try:
            with decode_for_edge(inner):
                image = open_image(path)
            image.thumbnail((inner, inner))
        except DataError:
            image = Image.new("RGB", (inner, inner), EMPTY)
        sheet.paste(image, (left + (EDGE - image.width) // 2, top + (EDGE - image.height) // 2))
        number = str(place + 1)
        box = draw.textbbox((left + MARGIN + 4, top + MARGIN + 2), number, font=font)
        draw.rectangle((box[0] - 4, box[1] - 4, box[2] + 4, box[3] + 4), PAPER)
        draw.text((left + MARGIN + 4, top + MARGIN + 2), number, INK, font)
    file = io.BytesIO()
    sheet.save(file, "PNG")
    return file.getvalue()
