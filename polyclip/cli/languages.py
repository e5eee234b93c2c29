"""polyclip languages."""

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from polyclip.packs import known_languages, load_language


def command() -> None:
    """List the language packs."""
    table = Table("code", "name", "own name", "script", "in XLM-R", "in XM3600", header_style="bold", box=SIMPLE_HEAD)
    for code in known_languages():
        pack = load_language(code)
        table.add_row(code, pack.name, pack.own_name, pack.script, "yes" if pack.in_xlmr else "-", "yes" if pack.xm3600 else "-")
    Console().print(table)
