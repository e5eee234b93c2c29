"""What many pairs cost: bytes of the cache, hours and energy, from constants that this script measures here first.

Measured, each in seconds of processor time of one thread (other programs on the machine lengthen the wait more than the figure), the least of the rounds:
a caption and a picture through their towers, and a pair through a training step of the heads and of a method inside the text tower. Counted:
floating-point operations of the same, by torch. Everything else is an assumption that an option replaces: a graphics processor's peak and power from
the data sheet of NVIDIA's A100 SXM (312 TFLOP/s in bf16, 400 W, https://www.nvidia.com/en-us/data-center/a100/), the share of the peak that is reached,
and what a core draws. Nothing was run on a graphics processor.

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
from torch.utils.flop_counter import FlopCounterMode

from polyclip.cli._options import command_of
from polyclip.data.pairs import Sample
from polyclip.languages.resolve import resolve_language
from polyclip.models import feature_cache
from polyclip.models.branch import ModelConfig
from polyclip.studies.energy import WATTS
from polyclip.training import compute
from polyclip.training.branch_data import BranchData
from polyclip.training.config import HEADS, TOWERS, AlignConfig
from polyclip.training.loop import step, trainable
from polyclip.training.prepare import phase, prepared

SAMPLE = 64  # captions and pictures a round
SHARE = 0.05  # of the starter corpus' concepts: enough for a batch of 512
INSIDE: dict[str, Any] = {"method": "lilt-lwa", "tune": "text", "text_layers": "-4:"}


@dataclass(frozen=True)
class Cost:
    """Of one item."""

    seconds: float  # of one thread
    flops: float


@dataclass(frozen=True, kw_only=True)
class Options:
    """What is asked, and what is not measured."""

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
        """What is not measured, by name."""
        return {name: getattr(self, name) for name in ("watts", "peak", "utilisation", "device_watts", "epochs")}


def timed(run: Callable[[], Any], items: int, rounds: int, counted: Callable[[], Any] | None = None) -> Cost:
    """Least processor time; operations are those of `counted`, which stays in this thread as the counter does."""
    with FlopCounterMode(display=False) as counter:
        (counted or run)()
    seconds = []
    for _ in range(rounds):
        started = time.process_time()
        run()
        seconds.append((time.process_time() - started) / items)
    return Cost(min(seconds), counter.get_total_flops() / items)


def encoding(side: BranchData, rounds: int) -> Cost:
    """Of one caption or picture."""
    encoder, items = side.side.tower.build(), side.train[:SAMPLE]
    running = feature_cache.inference_form(encoder)
    with torch.inference_mode():
        return timed(
            lambda: feature_cache.in_batches(running, items, lambda _: None),
            len(items),
            rounds,
            lambda: running(**running.prepare(items)),
        )


def training(recipe: ModelConfig, folder: Path, rounds: int, batch: int) -> tuple[Cost, list[BranchData], int]:
    """Of one pair in a step; also the sides, and the bytes of a caption's state at the cut, 0 where there is none."""
    run = AlignConfig(
        languages=[resolve_language("sw"), resolve_language("en")],
        recipe=recipe,
        out=folder,
        sample=Sample(share=SHARE),
        class_names=False,
    )
    work, size = prepared(run), 0
    live = any(data.side.encoder is not None for data in work.sides)
    if live:
        for data in work.sides:
            data.go_live()
        rows = [work.sides[0].states[row] for row in range(SAMPLE)]
        size = sum(tensor.numel() * tensor.element_size() for row in rows for tensor in row.values()) // SAMPLE
    planned = phase("timed", replace(TOWERS if live else HEADS, batch_size=batch), work)
    accelerator = compute.accelerator(planned.compute)
    model, optimizer = trainable(accelerator, work.aligner, planned)
    return timed(lambda: step(accelerator, model, optimizer, planned, 0), planned.batch, rounds), work.sides, size


def measured(rounds: int, tower: str) -> dict[str, Any]:
    """Every constant, by name."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        heads, sides, _ = training(
            ModelConfig(vision_tower=tower, method="head-glu"), Path(folder) / "heads", rounds, 512
        )
        inside, _, state = training(ModelConfig(vision_tower=tower, **INSIDE), Path(folder) / "inside", rounds, 64)
    text, vision = sides
    costs = {"caption": encoding(text, rounds), "picture": encoding(vision, rounds), "heads": heads, "inside": inside}
    return {
        **costs,
        "bytes": {"caption": 4 * text.side.tower.dim, "picture": 4 * vision.side.tower.dim, "state": state},
    }


def size(number: float) -> str:
    """`1.5 TB`."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if number < 1000:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:.3g} PB"


def rows(found: dict[str, Any], pairs: int, given: Options) -> list[tuple[str, ...]]:
    """One line for each kind of work on so many pairs, each a caption and a picture of its own."""
    kept = found["bytes"]
    works = [
        ("encode captions", found["caption"], 1, kept["caption"] * pairs),
        ("encode pictures", found["picture"], 1, kept["picture"] * pairs),
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
        lines.append((name, size(stored) if stored else "", *figures))
    return lines


def main(given: Options) -> None:
    """Print the constants and the table of docs/scale.md."""
    found = measured(given.rounds, given.vision_tower)
    console = Console()
    for name in ("caption", "picture", "heads", "inside"):
        cost = found[name]
        console.print(
            f"{name}: {1000 * cost.seconds:.4g} ms of one thread, {cost.flops / 1e9:.4g} GFLOP, {cost.flops / cost.seconds / 1e9:.3g} GFLOP/s"
        )
    console.print(f"bytes of a row: {found['bytes']}; assumed: {given.assumed}")
    for number in given.pairs or [600_000, 10_000_000, 1_000_000_000]:
        title = f"{number:,} pairs, {given.epochs} pass(es), e5-small and {given.vision_tower}"
        table = Table(
            "work",
            *(Column(name, justify="right") for name in ("cache", "core h", "kWh", "device h*", "kWh*")),
            title=title,
        )
        for line in rows(found, number, given):
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
    typer.run(command_of(Options, main))
