"""polyclip methods."""

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from polyclip.plugins import find, names


def command() -> None:
    """List the alignment methods."""
    table = Table("method", "what is trained", header_style="bold", box=SIMPLE_HEAD)
    for name in names("methods"):
        table.add_row(name, find("methods", name).ABOUT)
    Console().print(table)
