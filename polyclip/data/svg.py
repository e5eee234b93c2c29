"""SVG drawings: checked, and rendered to pixels without the system's fonts."""

import io
import re
from collections.abc import Mapping
from xml.etree import ElementTree

from PIL import Image

MAX_RATIO = 256  # of the edges
MAX_DEPTH = 200  # of the elements of a drawing
NUMBER = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]{1,3})?")
LENGTH = re.compile(rf"\s*({NUMBER.pattern})\s*(px|pt|pc|mm|cm|in|em|ex|%|)\s*$")
PIXELS = {"": 1, "px": 1, "pt": 4 / 3, "pc": 16, "mm": 96 / 25.4, "cm": 96 / 2.54, "in": 96, "em": 12, "ex": 6}


def render_svg(svg: str, pixels: int) -> Image.Image:
    """Render SVG text on white, without the system's fonts.

    Args:
        svg: The text.
        pixels: Width of the result.

    Returns:
        An RGB image.

    Raises:
        ValueError: The text is not SVG, has no size, is nested deeply, or one edge is far longer than the other.

    """
    import resvg_py

    check_svg(svg)
    drawn = resvg_py.svg_to_bytes(svg_string=svg, width=pixels, background="#ffffff", skip_system_fonts=True, dpi=96)
    return Image.open(io.BytesIO(bytes(drawn))).convert("RGB")


def check_svg(svg: str) -> None:
    """Check that a drawing can be rendered: the renderer ends the whole process where memory or its stack does not do.

    Raises:
        ValueError: It is no XML, is nested more than 200 deep, or one edge is more than 256 times the other.

    """
    depth = 0
    try:
        for event, element in ElementTree.iterparse(io.StringIO(svg), ("start", "end")):  # noqa: S314 (expat refuses entities that grow, and nothing is fetched)
            if event == "start" and depth == 0:
                check_svg_size(element.attrib)
            depth += 1 if event == "start" else -1
            if depth > MAX_DEPTH:
                raise ValueError(f"elements are nested more than {MAX_DEPTH} deep")
    except ElementTree.ParseError as error:
        raise ValueError(f"not XML: {error}") from error


def check_svg_size(given: Mapping[str, str]) -> None:
    """Check the edges of a drawing, which its width and height or its viewBox say; ValueError where one is too long."""
    box = [float(number) for number in NUMBER.findall(given.get("viewBox", ""))]
    edges = []
    for place, name in ((2, "width"), (3, "height")):
        found = LENGTH.match(given.get(name, "100%"))
        unit = found[2] if found else "%"
        edges.append(float(found[1]) * PIXELS[unit] if found and unit != "%" else box[place] if len(box) == 4 else 1.0)
    if all(edge > 0 for edge in edges) and max(edges) > MAX_RATIO * min(edges):
        raise ValueError(f"{edges[0]:g} x {edges[1]:g}, one edge may be at most {MAX_RATIO} times the other")
