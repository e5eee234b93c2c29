"""Time of a whole `polyclip align`: from an empty cache, and with its features cached, beside matrix products.

Each run is a process of its own, as when it is typed, with the installed packages and a cache in a temporary folder.
Before each run the rate of a 2048 x 2048 x 2048 matrix product is measured, so that machines can be compared: a run
takes as long as so many TFLOP of float32 products do on the same cores.

    python -m speed.first_run [--lang sw] [--rounds 3] [--json first_run.json]
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.table import Table

from polyclip.core.encode_precision import BF16, pick_encode_precision
from polyclip.core.storage import write_text
from speed._machine import collect_facts, measure_rate

EMPTY, CACHED = "empty cache", "features cached"
PARTS = ("encode", "train", "evaluate")


@dataclass(frozen=True)
class TimedRun:
    """One run of the command.

    Attributes:
        start: EMPTY or CACHED.
        seconds: From start to end of the process.
        parts: Seconds that the run itself says it took to encode, train and evaluate.
        rate: FLOP/s of a float32 matrix product just before.

    """

    start: str
    seconds: float
    parts: dict[str, float]
    rate: float


def time_run(start: str, lang: str, folder: Path, number: int) -> TimedRun:
    """Run the command once; its tables are thrown away, its progress and errors are shown.

    Raises:
        CalledProcessError: It fails.

    """
    rate, out = measure_rate(torch.float32), folder / f"run{number}"
    command = [sys.executable, "-m", "polyclip", "align", "--lang", lang, "--out", str(out)]
    environment = os.environ | {"POLYCLIP_CACHE": str(folder / "cache"), "HF_HUB_OFFLINE": "1"}
    started = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
    seconds = time.monotonic() - started
    parts = json.loads((out / "result.json").read_text("utf-8"))["seconds"]
    return TimedRun(start, seconds, {name: parts[name] for name in PARTS}, rate)


def make_table(runs: list[TimedRun]) -> Table:
    """Build the table of medians."""
    table = Table("align", "runs", "s", *PARTS, "GFLOP/s", "TFLOP's time", title="from start to end, medians")
    for start in (EMPTY, CACHED):
        own = [run for run in runs if run.start == start]
        if not own:
            continue
        rate, seconds = (statistics.median(run.rate for run in own), statistics.median(run.seconds for run in own))
        parts = [f"{statistics.median(run.parts[name] for run in own):.0f}" for name in PARTS]
        equal = statistics.median(run.seconds * run.rate for run in own) / 1e12
        table.add_row(start, str(len(own)), f"{seconds:.1f}", *parts, f"{rate / 1e9:.0f}", f"{equal:.1f}")
    return table


def main(
    lang: Annotated[str, typer.Option(help="As in 'polyclip align'.")] = "sw",
    rounds: Annotated[int, typer.Option(min=1, help="Runs with features cached; the first run fills the cache.")] = 3,
    file: Annotated[Path | None, typer.Option("--json", help="Also write every figure here.")] = None,
) -> None:
    """Print the table of a first run and of further ones."""
    console = Console()
    with tempfile.TemporaryDirectory() as name:
        runs = []
        for number in range(rounds + 1):
            runs.append(time_run(CACHED if number else EMPTY, lang, Path(name), number))
            console.print(f"{runs[-1].start}: {runs[-1].seconds:.1f} s")
    console.print(make_table(runs))
    half = measure_rate(torch.bfloat16) if pick_encode_precision() == BF16 else None  # elsewhere it takes minutes
    console.print(
        f"bf16 products: {f'{half / 1e9:.0f} GFLOP/s' if half else 'not in hardware, nothing is computed in it'}"
    )
    if file is not None:
        found = collect_facts() | {"lang": lang, "bf16_rate": half, "runs": [asdict(run) for run in runs]}
        write_text(file, json.dumps(found, indent=1) + "\n", what="times of whole runs")


if __name__ == "__main__":
    typer.run(main)
