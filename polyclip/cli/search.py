"""polyclip search."""

from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from polyclip.packs import resolve_language


def command(
    query: Annotated[str, typer.Argument(help="What the picture should show, in any language.")],
    images: Annotated[Path, typer.Option(help="Folder of pictures, searched below too.")],
    model: Annotated[Path, typer.Option(help="Run folder made by 'polyclip align'.")],
    top: Annotated[int, typer.Option(min=1)] = 12,
    lang: Annotated[str, typer.Option(help="Language of the query, for its spelling. Default: of those trained, the first in this script.")] = "",
    html: Annotated[Path, typer.Option(help="Where the contact sheet is written.")] = Path("search.html"),
) -> None:
    """Rank the pictures of a folder by a query, and write a contact sheet to look at."""
    language = resolve_language(lang).code if lang else ""
    from polyclip.search.contact_sheet import write_sheet
    from polyclip.search.folder import search

    found = search(query, images, model, top, language)
    console = Console()
    table = Table("rank", "similarity", header_style="bold", box=SIMPLE_HEAD)
    table.add_column("picture", overflow="fold")
    for number, hit in enumerate(found.hits, 1):
        table.add_row(str(number), f"{hit.similarity:.3f}", str(hit.path.relative_to(images)))
    console.print(table)
    for problem in found.problems:
        console.print(f"skipped {problem}", style="yellow", markup=False, highlight=False, soft_wrap=True)
    console.print(f"{found.searched:,} pictures searched, {len(found.problems)} skipped", highlight=False)
    write_sheet(html, found)
    console.print(f"contact sheet: {html}", highlight=False, soft_wrap=True)
