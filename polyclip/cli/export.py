"""Command `polyclip export`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from polyclip.core.registry import find


def command(
    run: Annotated[Path, typer.Argument(help="Run folder made by 'polyclip align'.")],
    to: Annotated[str, typer.Option(help="open_clip, sentence-transformers, transformers, onnx or peft.")],
    out: Annotated[Path, typer.Option(help="New or empty folder.")],
    int8: Annotated[bool, typer.Option("--int8", help="Write 8-bit weights (onnx).")] = False,
) -> None:
    """Export a run to another library, and verify that its embeddings agree with the run's."""
    find("exports", to)
    from polyclip.exporters.run import export

    done = export(run, to, out, int8=int8)
    console = Console()
    for line in (*(one.format_sentence() for one in done.agreements), *done.notes, f"export: {done.folder}"):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
