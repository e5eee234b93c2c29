"""Command `polyclip cache`."""

from typing import Annotated, Literal

import typer
from rich.box import SIMPLE_HEAD
from rich.filesize import decimal
from rich.table import Table

from polyclip.core.storage import clear_cache, get_cache_folder, measure_cache
from polyclip.core.terminal import PlainConsole


def command(
    action: Annotated[Literal["show", "clear"], typer.Argument(help="show its size, or clear it")] = "show",
) -> None:
    """Show or clear converted weights and cached features; both are recomputed when needed."""
    console = PlainConsole()
    if action == "clear":
        freed = sum(measure_cache().values())
        clear_cache()
        console.print(f"{decimal(freed)} freed in {get_cache_folder()}", highlight=False, soft_wrap=True)
        return
    sizes = measure_cache()
    console.print(f"{get_cache_folder()}: {decimal(sum(sizes.values()))}", highlight=False, soft_wrap=True)
    if sizes:
        table = Table("part", "size", header_style="bold", box=SIMPLE_HEAD)
        for name, size in sizes.items():
            table.add_row(name, decimal(size))
        console.print(table)
