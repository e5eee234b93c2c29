"""polyclip export."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from polyclip.core.registry import find


def command(
    run: Annotated[Path, typer.Argument(help="Run folder made by 'polyclip align'.")],
    to: Annotated[str, typer.Option(help="open_clip, sentence-transformers, transformers, onnx or peft.")],
    out: Annotated[Path, typer.Option(help="New folder.")],
    int8: Annotated[bool, typer.Option("--int8", help="Weights of 8 bits (onnx).")] = False,
) -> None:
    """Write a run for another library, and check that it says there what it says here."""
    find("exports", to)
    from polyclip.export.run import export

    done = export(run, to, out, int8=int8)
    console = Console()
    for line in (*(one.sentence() for one in done.agreements), *done.notes, f"export: {done.folder}"):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
