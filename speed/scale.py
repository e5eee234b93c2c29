"""Time and peak memory of large pieces of work, at each number format that the work knows.

    python -m speed.scale [--share 0.1] [--out speed/results] [--resume]

100,000 captions and 20,000 images are encoded (images opened on the clock), 100,000 embeddings are put into the graph
of an index, and 261,375 captions are scored against 3,600 images in both directions. Each is done at a quarter of that
number and at the whole, in a process of its own. Captions are real ones with a number behind, images those of the
starter corpus under many names. Writes `scale.json` after each piece, so that `--resume` measures only those that are
missing, and `scale.png`; about half an hour on two quiet cores. CPU seconds are those of all threads, in and out of the
system, and say more than seconds where other work runs beside.
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
FORMATS = {"captions": ("fp32", "bf16", "int8"), "images": ("fp32", "bf16"), "index": ("int8",), "score": ("fp32",)}
PARTS = (0.25, 1.0)
PICTURES = 3600  # that captions are scored against
TITLES = {
    "captions": "captions encoded",
    "images": "images encoded",
    "index": "rows linked",
    "score": "captions scored",
}


def list_cells(share: float) -> list[dict[str, Any]]:
    """List what is measured: kind, number format and number of items of each cell.

    Args:
        share: Of the whole numbers, in (0, 1].

    """
    return [
        {"kind": kind, "format": precision, "at": round(whole * share * part)}
        for kind, whole in WHOLE.items()
        for precision in FORMATS[kind]
        for part in PARTS
    ]


def measure(wanted: dict[str, Any], folder: Path, console: Console) -> dict[str, Any]:
    """Measure a cell of `list_cells` once.

    Args:
        wanted: The cell.
        folder: Work folder.
        console: Where progress is said.

    Returns:
        The cell with its seconds, CPU seconds and peak memory.

    """
    at, kind, precision = wanted["at"], wanted["kind"], wanted["format"]
    given = {"at": at, "format": precision, "pictures": min(PICTURES, at)}
    job = Job(f"{at:,} {TITLES[kind]}, {precision}", f"speed._scale:{kind}", given)
    found = measure_cell(job, 1, folder, console.print)
    spent = {name: round(found.median(name), 3) for name in ("seconds", "cpu")}
    return wanted | spent | {"peak_mb": round(found.peak)}


def read_measured(path: Path, share: float) -> list[dict[str, Any]]:
    """Read the cells of an earlier call with the same share; none where there was none."""
    stored: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    return list(stored["cells"]) if stored.get("share") == share else []


def build_table(stored: dict[str, Any]) -> Table:
    """Build the table for a terminal."""
    table = make_table("scale", "", "format", "seconds", "CPU s", "a second", "peak MB")
    for cell in stored["cells"]:
        rate = cell["at"] / cell["seconds"]
        name = f"{cell['at']:,} {TITLES[cell['kind']]}"
        table.add_row(
            name, cell["format"], f"{cell['seconds']:.1f}", f"{cell['cpu']:.1f}", f"{rate:,.0f}", f"{cell['peak_mb']:,}"
        )
    return table


def draw_plot(stored: dict[str, Any], path: Path) -> None:
    """Draw CPU seconds (above) and peak memory (below), a column for each kind of work, a line for each format."""
    with open_plot(path, 13.0, 5.0, what="the plot of scale") as figure:
        panels = figure.subplots(2, len(WHOLE))
        for column, kind in enumerate(WHOLE):
            for precision in FORMATS[kind]:
                cells = [cell for cell in stored["cells"] if (cell["kind"], cell["format"]) == (kind, precision)]
                for row, key in enumerate(("cpu", "peak_mb")):
                    where = [cell["at"] for cell in cells]
                    panels[row][column].plot(where, [cell[key] for cell in cells], "o-", label=precision)
            for row, label in enumerate(("CPU s", "peak memory, MB")):
                panels[row][column].set(xlabel=TITLES[kind], ylabel=label, xlim=(0, None))
                panels[row][column].set_ylim(0, 1.08 * panels[row][column].dataLim.ymax)  # the highest point is whole
            panels[0][column].legend()


def main() -> None:
    """Measure, print the table and write the files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--share", type=float, default=1.0, help="share of the numbers, in (0, 1]")
    parser.add_argument("--out", type=Path, default=Path("speed/results"))
    parser.add_argument("--resume", action="store_true", help="keep what scale.json in --out has of the same share")
    asked = parser.parse_args()
    if not 0 < asked.share <= 1:
        parser.error(f"--share {asked.share}: expected a number in (0, 1].")
    asked.out.mkdir(parents=True, exist_ok=True)
    console, path = Console(), asked.out / "scale.json"
    cells = read_measured(path, asked.share) if asked.resume else []
    with tempfile.TemporaryDirectory() as folder:
        for wanted in list_cells(asked.share):
            if any(wanted.items() <= cell.items() for cell in cells):
                continue
            cells.append(measure(wanted, Path(folder), console))
            stored = collect_facts() | {"share": asked.share, "cells": cells}
            write_text(path, json.dumps(stored, indent=1) + "\n", what="the results")
    stored = json.loads(path.read_text("utf-8"))
    draw_plot(stored, asked.out / "scale.png")
    console.print(build_table(stored))


if __name__ == "__main__":
    main()
