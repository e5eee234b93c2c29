"""Time and peak memory of large pieces of work, at each number format that the work knows.

    python -m speed.scale [--share 0.1] [--out speed/results]

100,000 captions and 20,000 images are encoded (images opened on the clock), 100,000 embeddings are put into the graph
of an index, and 261,375 captions are scored against 3,600 images in both directions. Each is done at a quarter of that
number and at the whole, in a process of its own. Captions are real ones with a number behind, images those of the
starter corpus under many names. Writes `scale.json` and `scale.png`; about half an hour on two quiet cores.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from polyclip.core.storage import write_text
from polyclip.report.plot import open_plot
from speed._machine import collect_facts
from speed._tables import make_table
from speed._turns import Job
from speed.growth import measure_cell

WHOLE = {"captions": 100_000, "images": 20_000, "index": 100_000, "score": 261_375}
FORMATS = {"captions": ("fp32", "bf16", "int8"), "images": ("fp32",), "index": ("fp32",), "score": ("fp32",)}
PARTS = (0.25, 1.0)
PICTURES = 3600  # that captions are scored against
TITLES = {
    "captions": "captions encoded",
    "images": "images encoded",
    "index": "rows linked",
    "score": "captions scored",
}


def measure(share: float, folder: Path, console: Console) -> dict[str, Any]:
    """Measure every cell once.

    Args:
        share: Of the whole numbers, in (0, 1].
        folder: Work folder.
        console: Where progress is said.

    Returns:
        What is stored.

    """
    cells = []
    for kind, whole in WHOLE.items():
        for precision in FORMATS[kind]:
            for part in PARTS:
                at = round(whole * share * part)
                given = {"at": at, "format": precision, "pictures": min(PICTURES, at)}
                job = Job(f"{at:,} {TITLES[kind]}, {precision}", f"speed._scale:{kind}", given)
                found = measure_cell(job, 1, folder, console.print)
                seconds = found.median("seconds")
                cells.append(
                    {"kind": kind, "format": precision, "at": at, "seconds": seconds, "peak_mb": round(found.peak)}
                )
    return collect_facts() | {"share": share, "cells": cells}


def build_table(stored: dict[str, Any]) -> Table:
    """Build the table for a terminal."""
    table = make_table("scale", "", "format", "seconds", "a second", "peak MB")
    for cell in stored["cells"]:
        rate = cell["at"] / cell["seconds"]
        name = f"{cell['at']:,} {TITLES[cell['kind']]}"
        table.add_row(name, cell["format"], f"{cell['seconds']:.1f}", f"{rate:,.0f}", f"{cell['peak_mb']:,}")
    return table


def draw_plot(stored: dict[str, Any], path: Path) -> None:
    """Draw seconds (above) and peak memory (below), a column for each kind of work, a line for each format."""
    with open_plot(path, 13.0, 5.0, what="the plot of scale") as figure:
        panels = figure.subplots(2, len(WHOLE))
        for column, kind in enumerate(WHOLE):
            for precision in FORMATS[kind]:
                cells = [cell for cell in stored["cells"] if (cell["kind"], cell["format"]) == (kind, precision)]
                for row, key in enumerate(("seconds", "peak_mb")):
                    where = [cell["at"] for cell in cells]
                    panels[row][column].plot(where, [cell[key] for cell in cells], "o-", label=precision)
            for row, label in enumerate(("s", "peak memory, MB")):
                panels[row][column].set(xlabel=TITLES[kind], ylabel=label, xlim=(0, None), ylim=(0, None))
            panels[0][column].legend()


def main() -> None:
    """Measure, print the table and write the files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--share", type=float, default=1.0, help="share of the numbers, in (0, 1]")
    parser.add_argument("--out", type=Path, default=Path("speed/results"))
    asked = parser.parse_args()
    if not 0 < asked.share <= 1:
        parser.error(f"--share {asked.share}: expected a number in (0, 1].")
    console = Console()
    with tempfile.TemporaryDirectory() as folder:
        stored = measure(asked.share, Path(folder), console)
    asked.out.mkdir(parents=True, exist_ok=True)
    write_text(asked.out / "scale.json", json.dumps(stored, indent=1) + "\n", what="the results")
    draw_plot(stored, asked.out / "scale.png")
    console.print(build_table(stored))


if __name__ == "__main__":
    main()
