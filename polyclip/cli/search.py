"""Command `polyclip search`."""

import json as json_text
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from polyclip.core.inline_images import NAMES, find_protocol, format_image
from polyclip.core.terminal import PlainConsole
from polyclip.core.text import show_line
from polyclip.errors import DataError
from polyclip.languages.resolve import resolve_language

if TYPE_CHECKING:
    from polyclip.core.inline_images import Protocol
    from polyclip.search.confidence import Confidence
    from polyclip.search.results import SearchResult

TILE = (14, 7)  # columns and lines of a thumbnail: most terminals' letters are twice as high as they are wide
MOST_ACROSS = 6  # thumbnails in a row
SHEET = Path("search.html")
CAPTION_WEIGHT = 0.7  # as polyclip/search/ranking.py has it, which would load numpy for every command


def command(
    query: Annotated[str, typer.Argument(help="Text query, in any language.")] = "",
    index: Annotated[
        Path | None, typer.Option(help="Index made by 'polyclip index', or the folder of images that holds it.")
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(help="Folder of images, searched recursively; with --index, where its images are now."),
    ] = None,
    model: Annotated[
        Path | None, typer.Option(help="Run folder made by 'polyclip align'. Default: the one that made the index.")
    ] = None,
    picture: Annotated[Path | None, typer.Option(help="Search by this image instead of text.")] = None,
    top: Annotated[int, typer.Option(min=1)] = 12,
    lang: Annotated[
        str,
        typer.Option(
            help="Language of the query, for normalization. Default: the first trained language in this script."
        ),
    ] = "",
    caption_weight: Annotated[
        float,
        typer.Option(
            min=0, max=1, help="Weight of captions in an index, beside that of the images; 0 for images alone."
        ),
    ] = CAPTION_WEIGHT,
    show_all: Annotated[
        bool, typer.Option("--all", help="Show each of several files of an index with the same image.")
    ] = False,
    thumbnails: Annotated[
        Literal["auto", "off", "on"],
        typer.Option(
            help="Small images of the hits in the terminal. auto: where it is known to show them; on: or else an error."
        ),
    ] = "auto",
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    html: Annotated[
        Path | None,
        typer.Option(help="HTML file of the contact sheet. Default: search.html with --images, none with --index."),
    ] = None,
    follow_links: Annotated[
        bool,
        typer.Option("--follow-links", help="Also read images that are links to outside the folder."),
    ] = False,
) -> None:
    """Rank images by a text or image query, and write a contact sheet."""
    language = resolve_language(lang).code if lang else ""
    check_query(query, picture, lang, index, images, model)
    protocol = choose_protocol(thumbnails, json=json)
    found = run_search(query, index, images, model, picture, top, language, follow_links, caption_weight, not show_all)
    sheet = html or (SHEET if index is None and not json else None)
    if json:
        typer.echo(json_text.dumps(format_result(found), ensure_ascii=False, indent=1))
    else:
        print_hits(found)
        if protocol is not None and found.hits:
            print_thumbnails(found, protocol)
    if sheet is not None:
        from polyclip.search.contact_sheet import write_contact_sheet

        write_contact_sheet(sheet, found)
        if not json:
            PlainConsole().print(f"contact sheet: {sheet}", highlight=False, soft_wrap=True)


def run_search(
    query: str,
    index: Path | None,
    images: Path | None,
    model: Path | None,
    picture: Path | None,
    top: int,
    language: str,
    follow_links: bool,
    caption_weight: float,
    fold: bool,
) -> "SearchResult":
    """Search an index, without torch where the query is a text; or a folder of images."""
    if index is not None and picture is None:
        from polyclip.search.quick_search import search_quickly

        quick = search_quickly(query, index, images, model, top, language, caption_weight, fold=fold)
        if quick is not None:
            return quick
    from polyclip.search.folder import search, search_index
    from polyclip.search.index import Index
    from polyclip.search.quick.prepare import prepare

    if index is None:  # `check_query` made sure that the others are given
        return search(query, images or Path(), model or Path(), top, language, picture, follow_links=follow_links)
    opened = Index.open(index, images, model)
    found = search_index(query, opened, top, language, picture, caption_weight, fold=fold)
    prepare(opened.model)
    return found


def check_query(
    query: str, picture: Path | None, lang: str, index: Path | None, images: Path | None, model: Path | None
) -> None:
    """Check that the options name one query and something to search.

    Raises:
        DataError: A query or the images are missing, or options exclude each other.

    """
    if index is None and (images is None or model is None):
        raise DataError(
            "Expected what to search: --index DIR made by 'polyclip index', or --images DIR with --model RUN."
        )
    if picture is not None and (query or lang):
        raise DataError("--picture cannot be combined with a text query or --lang.")
    if picture is None and not query:
        raise DataError("Expected a query: text, or --picture FILE.")


def choose_protocol(thumbnails: str, *, json: bool) -> "Protocol | None":
    """Choose how the terminal shows thumbnails; None for not at all.

    Raises:
        DataError: They are demanded where they cannot be shown.

    """
    if thumbnails == "off" or (json and thumbnails == "auto"):
        return None
    if json:
        raise DataError("--thumbnails on cannot be combined with --json.")
    protocol = find_protocol() if sys.stdout.isatty() else None  # never into a pipe or a file
    if protocol is None and thumbnails == "on":
        where = "this terminal is not known to show images" if sys.stdout.isatty() else "this is not a terminal"
        raise DataError(f"--thumbnails on: {where}. Thumbnails are shown by {NAMES}, outside tmux and screen.")
    return protocol


def print_thumbnails(found: "SearchResult", protocol: "Protocol") -> None:
    """Print thumbnails of the hits, numbered by rank, as many in a row as the terminal has room for."""
    from polyclip.search.thumbnail_sheet import draw_thumbnails

    count, (columns, lines) = len(found.hits), TILE
    across = max(1, min(PlainConsole().width // columns, MOST_ACROSS, count))
    png = draw_thumbnails([hit.path for hit in found.hits], across)
    sys.stdout.write(format_image(png, protocol, across * columns, -(-count // across) * lines))
    sys.stdout.flush()


def print_hits(found: "SearchResult") -> None:
    """Print the hits, skipped images, and a hint."""
    console = PlainConsole()
    said = any(hit.caption for hit in found.hits)
    table = Table("rank", "similarity", header_style="bold", box=SIMPLE_HEAD)
    if said:
        table.add_column("from image")
        table.add_column("from caption")
    table.add_column("image", overflow="fold")
    if said:
        table.add_column("caption", overflow="fold")
    for number, hit in enumerate(found.hits, 1):
        parts = [f"{hit.from_image:.3f}", f"{hit.from_caption:.3f}" if hit.caption else ""] if said else []
        text = [show_line(hit.caption)] if said else []
        more = f" (+{len(hit.alike)} alike)" if hit.alike else ""
        name = show_line(str(hit.path.relative_to(found.root))) + more
        table.add_row(str(number), f"{hit.similarity:.3f}", *parts, name, *text)
    console.print(table)
    if found.confidence is not None:
        console.print(describe_confidence(found.confidence), highlight=False, soft_wrap=True)
    for problem in found.problems:
        console.print(f"skipped {show_line(problem)}", style="yellow", highlight=False, soft_wrap=True)
    if found.hint:
        console.print(found.hint, style="yellow", highlight=False, soft_wrap=True)
    about = "" if found.recall is None else f", approximate search with recall@10 of {100 * found.recall:.1f} %"
    console.print(
        f"{found.searched:,} images searched, {len(found.problems)} skipped{about}",
        highlight=False,
        soft_wrap=True,
    )


def describe_confidence(sure: "Confidence") -> str:
    """Say how likely the first image is right."""
    said = f"confidence in the first image: {sure.level} ({100 * sure.confidence:.0f} %)"
    return said if sure.level != "low" else f"{said}: no good match"


def format_result(found: "SearchResult") -> dict[str, object]:
    """Convert a result to JSON values (schema 1)."""
    return {
        "schema": 1,
        "query": found.query,
        "language": found.language,
        "hint": found.hint,
        "confidence": None if found.confidence is None else found.confidence.confidence,
        "level": None if found.confidence is None else found.confidence.level,
        "searched": found.searched,
        "recall_at_10": found.recall,
        "skipped": found.problems,
        "hits": [
            {
                "rank": number,
                "similarity": hit.similarity,
                "from_image": hit.from_image,
                "from_caption": hit.from_caption,
                "caption": hit.caption or None,
                "path": str(hit.path),
                "alike": [str(path) for path in hit.alike],
            }
            for number, hit in enumerate(found.hits, 1)
        ],
    }
