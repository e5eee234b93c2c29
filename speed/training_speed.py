"""Pairs/s of several methods on the same encoders in one run, and their ratio to full training.

Each method's main phase is timed step by step, methods in turn, so that noise affects all of them; medians. States
below a cut and
features of frozen encoders are cached before timing, as they are from a run's second epoch on.

    python speed/training_speed.py [--rounds 5] [--vision-tower efficientnet-lite0:depths,size=96] [--padded]
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated
from unittest.mock import patch

import torch
import typer
from rich.console import Console
from rich.table import Table

from polyclip.languages.resolve import resolve_language
from polyclip.models.config import ModelConfig
from polyclip.models.text_encoder import PADDED_GRAIN, TextEncoder
from polyclip.models.trunk import blocks
from polyclip.training import compute
from polyclip.training.config import HEADS, TOWERS, AlignConfig
from polyclip.training.loop import prepare_training, run_step
from polyclip.training.prepare import make_phase, prepare_run

CASES: dict[str, dict[str, str]] = {
    "full": {"method": "full"},
    "lilt-lwa, all layers": {"method": "lilt-lwa"},
    "lilt-lwa, top four of each": {"method": "lilt-lwa", "text_layers": "-4:", "vision_layers": "-4:"},
    "lilt-lwa, text, all twelve": {"method": "lilt-lwa", "tune": "text"},
    "lilt-lwa, text, top four of twelve": {"method": "lilt-lwa", "tune": "text", "text_layers": "-4:"},
    "lilt-ln": {"method": "lilt-ln"},
    "lit": {"method": "lit"},
    "lora": {"method": "lora"},
    "lilt-da": {"method": "lilt-da"},
    "heads": {"method": "heads"},
}


def make_stepper(folder: Path, case: dict[str, str], tower: str) -> tuple[Callable[[], float], int]:
    """Return a function that runs one step and returns its seconds, and the pairs per step."""
    recipe = ModelConfig(**{"vision_tower": tower, **case})  # type: ignore[arg-type]
    run = AlignConfig(
        languages=[resolve_language("sw"), resolve_language("en")], recipe=recipe, out=folder, class_names=False
    )
    work = prepare_run(run)
    live = any(data.side.encoder is not None for data in work.sides)
    for data in work.sides:
        data.attach_backbone()
    ready = make_phase("timed", replace(TOWERS, batch_size=64) if live else replace(HEADS, caption_loss=0.0), work)
    accelerator = compute.create_accelerator(ready.compute)
    model, optimizer = prepare_training(accelerator, work.aligner, ready)
    number = iter(range(10**9))

    def one() -> float:
        started = time.monotonic()
        run_step(accelerator, model, optimizer, ready, next(number))
        return time.monotonic() - started

    one()
    return one, ready.batch


@contextmanager
def pad_captions() -> Iterator[None]:
    """Pad captions within the block, in batches that are sorted by length, as a GPU is given them."""
    with (
        patch.object(blocks, "is_worth_packing", lambda *_: False),
        patch.object(TextEncoder, "grain", PADDED_GRAIN),
    ):
        yield


def main(
    rounds: Annotated[int, typer.Option(min=1)] = 5,
    vision_tower: Annotated[str, typer.Option()] = "efficientnet-lite0:depths,size=96",
    padded: Annotated[bool, typer.Option(help="Time each step with padded captions too, in turn.")] = False,
) -> None:
    """Print the table of pairs/s."""
    with tempfile.TemporaryDirectory() as temporary:
        steppers = {
            name: make_stepper(Path(temporary) / str(number), case, vision_tower)
            for number, (name, case) in enumerate(CASES.items())
        }
        times: dict[str, list[float]] = {name: [] for name in CASES}
        longer: dict[str, list[float]] = {name: [] for name in CASES}  # with padding, over without
        for _ in range(rounds):
            for name, (one, _) in steppers.items():
                times[name].append(one())
                if padded:
                    with pad_captions():
                        longer[name].append(one() / times[name][-1])
    speed = {name: steppers[name][1] / statistics.median(found) for name, found in times.items()}
    table = Table(
        "method",
        "pairs/s",
        "of full",
        "padded takes",
        title=f"training, {vision_tower}, {torch.get_num_threads()} threads, median of {rounds} steps",
    )
    for name, value in speed.items():
        ratio = f"{statistics.median(longer[name]):.2f} x" if padded else "-"
        table.add_row(name, f"{value:,.0f}" if value > 100 else f"{value:.1f}", f"{value / speed['full']:,.1f}", ratio)
    console = Console()
    console.print(table)
    console.print(
        "text adapters in the top four of twelve layers: "
        f"{speed['lilt-lwa, text, top four of twelve'] / speed['lilt-lwa, text, all twelve']:.1f} x all twelve"
    )
    console.print(
        f"both towers, top four of each: {speed['lilt-lwa, top four of each'] / speed['lilt-lwa, all layers']:.1f} x "
        "all layers"
    )


if __name__ == "__main__":
    typer.run(main)
