"""polyclip cache."""

from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table

from polyclip.storage import cache_folder, cache_sizes, clear_cache


def command(action: Annotated[Literal["show", "clear"], typer.Argument(help="show its size, or clear it")] = "show") -> None:
    """Show or clear converted weights and computed features; both are made again when they are needed."""
    console = Console()
    if action == "clear":
        freed = sum(cache_sizes().values())
        clear_cache()
        console.print(f"{decimal(freed)} freed in {cache_folder()}", highlight=False, soft_wrap=True)
        return
    table = Table("part", "size", title=str(cache_folder()), header_style="bold")
    for name, size in cache_sizes().items():
        table.add_row(name, decimal(size))
    console.print(table)
