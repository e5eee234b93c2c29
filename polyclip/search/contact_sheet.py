"""Write a search result as one self-contained HTML file."""

import base64
import html
import io
from pathlib import Path

from polyclip.core.storage import write_text
from polyclip.core.text import show_name
from polyclip.data.images import open_image
from polyclip.errors import DataError, escape_unseen
from polyclip.search.results import SearchResult

THUMBNAIL = 256  # pixels on the longer side
STYLE = """
body{font:16px/1.5 system-ui,"Noto Sans",sans-serif;margin:2rem auto;max-width:72rem;padding:0 1rem}
body{color:#1b1b1b;background:#fff}
h1{font-size:1.5rem;font-weight:600;overflow-wrap:anywhere}
ol{list-style:none;padding:0;display:grid;grid-template-columns:repeat(auto-fill,minmax(11rem,1fr));gap:1rem}
li{border:1px solid #ddd;border-radius:.5rem;padding:.75rem}
img{width:100%;aspect-ratio:1;object-fit:contain}
small{color:#555;display:block;overflow-wrap:anywhere}
"""


def write_contact_sheet(path: Path, found: SearchResult) -> None:
    """Write thumbnails in order, each with rank, similarity and its name below the folder, which may be moved.

    Texts are escaped, and right-to-left queries run right to left.
    """
    query = html.escape(escape_unseen(found.query))
    cards = "\n".join(
        render_card(number, hit.path, hit.similarity, found.root) for number, hit in enumerate(found.hits, 1)
    )
    page = (
        '<!doctype html>\n<html><head><meta charset="utf-8"><meta name="viewport" '
        f'content="width=device-width">\n<title>{query}</title>'
        f'<style>{STYLE}</style></head>\n<body><h1 dir="auto">{query}</h1>\n<p>{found.searched:,} images searched, '
        f"{len(found.problems)} skipped</p>\n"
        f"{f'<p>{html.escape(found.hint)}</p>' if found.hint else ''}"
        f"{'<p>No good match.</p>' if found.confidence and found.confidence.level == 'low' else ''}"
        f"<ol>\n{cards}\n</ol></body></html>\n"
    )
    write_text(path, page, what="the contact sheet")


def render_card(rank: int, path: Path, similarity: float, root: Path) -> str:
    """Render one image of the sheet, or a message where it can no longer be read."""
    name = html.escape(show_name(path.relative_to(root).as_posix()))
    try:
        shown = f'<img alt="{name}" src="data:image/webp;base64,{encode_thumbnail(path)}">'
    except DataError as error:
        shown = f"<small>{html.escape(str(error).replace(str(path), path.name))}</small>"
    return f"<li>{shown}<b>{rank}</b> · {similarity:.3f}<small>{name}</small></li>"


def encode_thumbnail(path: Path) -> str:
    """Encode a small WebP of an image as base64."""
    image = open_image(path)
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=80)
    return base64.b64encode(buffer.getvalue()).decode()
