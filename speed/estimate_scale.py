"""Cost of many pairs: cache size, hours and energy, from constants that this script measures first.

Measured, in CPU seconds of one thread, the minimum over rounds: a caption and an image through their encoders, and a
pair through a
training step of the heads and of a method inside the text encoder. Counted by torch: FLOPs of the same. Everything else
is an
assumption that an option replaces: a GPU's peak and power from the data sheet of NVIDIA's A100 SXM (312 TFLOP/s in
bf16, 400 W,
https://www.nvidia.com/en-us/data-center/a100/), the utilization, and the power of a CPU core. Nothing was run on a GPU.

    python speed/estimate_scale.py [--pairs 600000 --pairs 10000000] [--watts 5] [--utilisation 0.3] [--json scale.json]
"""

import json as json_text
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
import typer
from rich.console import Console
from rich.table import Column, Table

from polyclip.cli._options import make_command
from polyclip.data.pairs import SamplingConfig
from polyclip.languages.resolve import resolve_language
from polyclip.models.config import ModelConfig
from polyclip.models.encoding import encode_items, get_inference_form
from polyclip.studies.energy import WATTS
from polyclip.training import compute
from polyclip.training.branch_data import BranchData
from polyclip.training.config import HEADS, TOWERS, AlignConfig
from polyclip.training.flops import make_flop_counter
from polyclip.training.loop import prepare_training, run_step
from polyclip.training.prepare import make_phase, prepare_run

SAMPLE = 64  # captions and images a round
SHARE = 0.05  # of the starter corpus' concepts: enough for a batch of 512
INSIDE: dict[str, Any] = {"method": "lilt-lwa", "tune": "text", "text_layers": "-4:"}


@dataclass(frozen=True)
class Cost:
    """Cost of one item."""

    seconds: float  # of one thread
    flops: float


@dataclass(frozen=True, kw_only=True)
class ScaleOptions:
    """Numbers of pairs, and assumptions."""

    pairs: Annotated[list[int] | None, typer.Option(min=1)] = None
    rounds: Annotated[int, typer.Option(min=1)] = 5
    vision_tower: Annotated[str, typer.Option()] = "efficientnet-lite2:depths"
    watts: Annotated[float, typer.Option(help="Of a busy core, with its share of the machine.")] = WATTS
    peak: Annotated[float, typer.Option(help="FLOP/s of a device.")] = 312e12
    utilisation: Annotated[float, typer.Option(min=0.001, max=1, help="Share of the peak that is reached.")] = 0.3
    device_watts: Annotated[float, typer.Option()] = 400.0
    epochs: Annotated[int, typer.Option(min=1)] = 1
    json: Annotated[Path | None, typer.Option(help="Also write constants and assumptions here.")] = None
    typed: frozenset[str] = frozenset()

    @property
    def assumed(self) -> dict[str, float]:
        """Values that are not measured, by name."""
        return {name: getattr(self, name) for name in ("watts", "peak", "utilisation", "device_watts", "epochs")}


def time_items(run: Callable[[], Any], items: int, rounds: int, counted: Callable[[], Any] | None = None) -> Cost:
    """Return the minimum CPU time and the FLOPs per item; `counted` runs in this thread, as the counter requires."""
    with make_flop_counter() as counter:
        (counted or run)()
    seconds = []
    for _ in range(rounds):
        started = time.process_time()
        run()
        seconds.append((time.process_time() - started) / items)
    return Cost(min(seconds), counter.get_total_flops() / items)


def time_encoding(branch: BranchData, rounds: int) -> Cost:
    """Measure the encoding of one caption or image."""
    encoder, items = branch.side.tower.build(), branch.train[:SAMPLE]
    running = get_inference_form(encoder)
    with torch.inference_mode():
        return time_items(
            lambda: encode_items(running, items, lambda _: None),
            len(items),
            rounds,
            lambda: running(**running.prepare(items)),
        )


def time_training(recipe: ModelConfig, folder: Path, rounds: int, batch: int) -> tuple[Cost, list[BranchData], int]:
    """Measure one pair in a training step; also returns the branches, and the bytes of a caption's state at the cut (0
    without one).
    """
    run = AlignConfig(
        languages=[resolve_language("sw"), resolve_language("en")],
        recipe=recipe,
        out=folder,
        sample=SamplingConfig(share=SHARE),
        class_names=False,
    )
    work, size = prepare_run(run), 0
    live = any(data.side.encoder is not None for data in work.sides)
    if live:
        for data in work.sides:
            data.attach_backbone()
        rows = [work.sides[0].states[row] for row in range(SAMPLE)]
        size = sum(tensor.numel() * tensor.element_size() for row in rows for tensor in row.values()) // SAMPLE
    planned = make_phase("timed", replace(TOWERS if live else HEADS, batch_size=batch), work)
    accelerator = compute.create_accelerator(planned.compute)
    model, optimizer = prepare_training(accelerator, work.aligner, planned)
    return (
        time_items(lambda: run_step(accelerator, model, optimizer, planned, 0), planned.batch, rounds),
        work.sides,
        size,
    )


def measure_constants(rounds: int, tower: str) -> dict[str, Any]:
    """Measure every constant, by name."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        heads, branches, _ = time_training(
            ModelConfig(vision_tower=tower, method="head-glu"), Path(folder) / "heads", rounds, 512
        )
        inside, _, state = time_training(ModelConfig(vision_tower=tower, **INSIDE), Path(folder) / "inside", rounds, 64)
    text, vision = branches
    costs = {
        "caption": time_encoding(text, rounds),
        "picture": time_encoding(vision, rounds),
        "heads": heads,
        "inside": inside,
    }
    return {
        **costs,
        "bytes": {"caption": 4 * text.side.tower.dim, "picture": 4 * vision.side.tower.dim, "state": state},
    }


def format_size(number: float) -> str:
    """Format a number of bytes, such as `1.5 TB`."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if number < 1000:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:.3g} PB"


def build_rows(found: dict[str, Any], pairs: int, given: ScaleOptions) -> list[tuple[str, ...]]:
    """Build one row per kind of work on so many pairs, each with its own caption and image."""
    kept = found["bytes"]
    works = [
        ("encode captions", found["caption"], 1, kept["caption"] * pairs),
        ("encode images", found["picture"], 1, kept["picture"] * pairs),
        ("train heads", found["heads"], given.epochs, 0),
        ("states of layer 8", found["caption"], 8 / 12, kept["state"] * pairs),
        ("train text adapters", found["inside"], given.epochs, 0),
    ]
    lines = []
    for name, cost, times, stored in works:
        cores, device = (
            cost.seconds * times * pairs / 3600,
            cost.flops * times * pairs / (given.peak * given.utilisation) / 3600,
        )
        energy = (cores * given.watts / 1000, device * given.device_watts / 1000)
        figures = (
            f"{value:,.0f}" if value >= 100 else f"{value:.2g}" for value in (cores, energy[0], device, energy[1])
        )
        lines.append((name, format_size(stored) if stored else "", *figures))
    return lines


def main(given: ScaleOptions) -> None:
    """Print the constants and the table of docs/scale.md."""
    found = measure_constants(given.rounds, given.vision_tower)
    console = Console()
    for name in ("caption", "picture", "heads", "inside"):
        cost = found[name]
        console.print(
            f"{name}: {1000 * cost.seconds:.4g} ms of one thread, {cost.flops / 1e9:.4g} GFLOP, "
            f"{cost.flops / cost.seconds / 1e9:.3g} GFLOP/s"
        )
    console.print(f"bytes of a row: {found['bytes']}; assumed: {given.assumed}")
    for number in given.pairs or [600_000, 10_000_000, 1_000_000_000]:
        title = f"{number:,} pairs, {given.epochs} pass(es), e5-small and {given.vision_tower}"
        table = Table(
            "work",
            *(Column(name, justify="right") for name in ("cache", "core h", "kWh", "device h*", "kWh*")),
            title=title,
        )
        for line in build_rows(found, number, given):
            table.add_row(*line)
        console.print(table)
    console.print("* assumed, not run: a device at its share of the peak, reading and decoding left out")
    if given.json is not None:
        costs = {name: asdict(found[name]) for name in ("caption", "picture", "heads", "inside")}
        given.json.write_text(
            json_text.dumps({**costs, "bytes": found["bytes"], "assumed": given.assumed}, indent=1, ensure_ascii=False)
            + "\n",
            "utf-8",
        )


if __name__ == "__main__":
    typer.run(make_command(ScaleOptions, main))
