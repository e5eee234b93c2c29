"""polyclip corpora."""

from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from polyclip.packs import CorpusPack, Translation, known_corpora, load_corpus


def command(corpus: Annotated[list[str] | None, typer.Argument(help="Names, or paths of packs. Default: all that come with polyclip.")] = None) -> None:
    """List corpora and their licences."""
    console = Console()
    for name in corpus or known_corpora():
        pack = load_corpus(name).pack
        console.print(licences(pack))
        if pack.translation is not None:
            console.print(origin(pack.translation))


def licences(pack: CorpusPack) -> Table:
    """What a corpus is about, and whose its parts are."""
    table = Table("part", "licence", "holder", title=f"{pack.name}: {pack.about}", title_justify="left", header_style="bold", box=SIMPLE_HEAD)
    for licence in pack.licences:
        table.add_row(licence.part, licence.spdx, licence.holder)
    return table


def origin(translation: Translation) -> Table:
    """How machine captions came about."""
    table = Table("translated", "", header_style="bold", box=SIMPLE_HEAD)
    table.add_row("captions of", f"{translation.base}, {' and '.join(translation.splits)}")
    table.add_row("from, into", f"{translation.source}, {' '.join(translation.languages)}")
    table.add_row("by", ", ".join(translation.names))
    table.add_row("people's captions in them", "left out" if translation.without_human else "kept beside")
    table.add_row("filters", ", ".join(f"{name} {value}" for name, value in translation.filters.items()))
    return table
