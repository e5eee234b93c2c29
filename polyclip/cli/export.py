"""Command `polyclip export`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from polyclip.core.registry import find, list_names
from polyclip.core.terminal import PlainConsole
from polyclip.errors import PolyclipError

if TYPE_CHECKING:
    from polyclip.exporters.limits import Plan


def command(
    run: Annotated[Path, typer.Argument(help="Run folder made by 'polyclip align'.")],
    to: Annotated[str, typer.Option(help="open_clip, sentence-transformers, transformers, onnx or peft.")] = "",
    out: Annotated[Path | None, typer.Option(help="New or empty folder.")] = None,
    int8: Annotated[bool, typer.Option("--int8", help="Write 8-bit weights (onnx).")] = False,
    width: Annotated[
        int, typer.Option(min=0, help="Pad embeddings with zeros to this length (onnx): 512 for immich.")
    ] = 0,
    text_only: Annotated[
        bool, typer.Option("--text-only", help="Accept an export of captions alone; without it, exit code 1.")
    ] = False,
    list_targets: Annotated[
        bool, typer.Option("--list", help="List where the run can be exported to, and why not elsewhere.")
    ] = False,
) -> None:
    """Export a run to another library, and verify that its embeddings agree with the run's.

    Exit code 1 where images are lacking.
    """
    if list_targets:
        print_targets(run)
        return
    if not to or out is None:
        raise PolyclipError(
            "--to TARGET and --out FOLDER are required; 'polyclip export RUN --list' lists the targets."
        )
    find("exports", to)
    from polyclip.exporters.run import export

    done = export(run, to, out, int8=int8, width=width)
    console = PlainConsole()
    for line in (*(one.format_sentence() for one in done.agreements), *done.notes, f"export: {done.folder}"):
        console.print(line, highlight=False, soft_wrap=True)
    if not done.images and not text_only:
        PlainConsole(stderr=True).print(
            f"{out} holds captions alone, without images (exit code 1). If that is what you want, add --text-only.",
            highlight=False,
            soft_wrap=True,
        )
        raise SystemExit(1)


def print_targets(run: Path) -> None:
    """Print a table of the targets with what speaks against each."""
    from polyclip.exporters.support import read_plan

    PlainConsole().print(build_targets_table(read_plan(run)))


def build_targets_table(plan: "Plan") -> Table:
    """Build a table of the targets with what of the run each can hold, and every reason against the rest."""
    from polyclip.exporters.support import find_limits

    table = Table("target", "exports", "why not", header_style="bold", box=SIMPLE_HEAD)
    for name in list_names("exports"):
        found = find_limits(plan, name)
        text_only = find("exports", name).TARGET.text_only and not found.text
        what = "captions only" if text_only else "no"
        reasons = dict.fromkeys((*found.text, *found.images))
        table.add_row(name, what if reasons else "yes", "\n".join(reasons))
    return table
