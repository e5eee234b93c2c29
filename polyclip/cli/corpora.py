"""polyclip corpora."""

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from polyclip.packs import known_corpora, load_corpus


def command() -> None:
    """List the corpora and their licences."""
    console = Console()
    for name in known_corpora():
        pack = load_corpus(name).pack
        table = Table("part", "licence", "holder", title=f"{name}: {pack.about}", title_justify="left", header_style="bold", box=SIMPLE_HEAD)
        for licence in pack.licences:
            table.add_row(licence.part, licence.spdx, licence.holder)
        console.print(table)
