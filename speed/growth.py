"""Part d: growth of time and memory with pairs, batch size, caption length and languages.

Pairs: a corpus of as many rows, made of 1,000 real captions and 100 real images, so that training dominates;
`polyclip.pipeline.align`,
heads, one epoch of batches of 512, its own times. Batch size: the same with 10,000 rows. Languages: 250 rows with names
in as many
languages, all captions distinct. Caption length: encoding of concatenated real captions. Each cell runs in its own
process, repeated
until the rounds are done or ten seconds are over, at least once; the table says how often.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from polyclip.report.plot import GREEN, open_plot
from speed._tables import make_table
from speed._turns import Contender, Job, Measurement

PATIENCE = 10.0  # seconds for the rounds of a cell
TITLES = {"pairs": "pairs", "batch": "batch size", "length": "tokens a caption", "languages": "languages"}
TIMED_KEY = {"pairs": "train", "batch": "train", "length": "encode", "languages": "encode"}  # the time that grows


@dataclass(frozen=True)
class Settings:
    """Sizes of the cells."""

    pairs: tuple[int, ...] = (1_000, 10_000, 100_000)
    batch: tuple[int, ...] = (64, 512, 4096)
    batch_rows: int = 10_000
    length: tuple[int, ...] = (8, 16, 32, 64, 128, 256)
    tokens: int = 4096  # encoded in a cell of caption length
    languages: tuple[int, ...] = (1, 4, 16)
    language_rows: int = 250


QUICK = Settings(
    pairs=(50, 100), batch=(8, 16), batch_rows=50, length=(8, 16), tokens=64, languages=(1, 2), language_rows=10
)


def run(settings: Settings, rounds: int, folder: Path, tell: Callable[[str], None]) -> dict[str, Any]:
    """Measure every cell and return what is stored."""
    cells: list[dict[str, Any]] = []
    rate = measure_cell(Job("matmul", "speed._machine:matmul"), rounds, folder, tell).median("rate")
    for kind, job in list_jobs(settings):
        found = measure_cell(job, rounds, folder, tell)
        seconds: dict[str, float] = {
            key: found.median(key) for key in ("encode", "train", "evaluate", "reading") if key in found.rounds[0]
        }
        share = {"share": found.ready["flops"] / seconds["encode"] / rate} if "flops" in found.ready else {}
        at = job.settings["at"]
        cells.append(
            {
                "kind": kind,
                "at": at,
                "rounds": len(found.rounds),
                "items": found.ready["items"],
                "peak_mb": found.peak,
                **seconds,
                **share,
            }
        )
    return {"settings": asdict(settings), "matmul_gflops": rate / 1e9, "cells": cells}


def list_jobs(settings: Settings) -> list[tuple[str, Job]]:
    """List the cells, by what grows."""
    worker = "speed._growth:align_cell"
    found = [
        ("pairs", Job(f"{n:,} pairs", worker, {"at": n, "rows": n, "languages": 2, "batch": 512}))
        for n in settings.pairs
    ]
    for n in settings.batch:
        found.append(
            (
                "batch",
                Job(f"batches of {n:,}", worker, {"at": n, "rows": settings.batch_rows, "languages": 2, "batch": n}),
            )
        )
    for n in settings.length:
        found.append(("length", Job(f"{n} tokens", "speed._growth:length", {"at": n, "tokens": settings.tokens})))
    for n in settings.languages:
        given = {"at": n, "rows": settings.language_rows, "languages": n, "batch": 512, "distinct": True}
        found.append(("languages", Job(f"{n} languages", worker, given)))
    return found


def measure_cell(job: Job, rounds: int, folder: Path, tell: Callable[[str], None]) -> Measurement:
    """Measure the rounds of one cell, within PATIENCE."""
    tell(f"{job.name}: getting ready")
    contender = Contender(job, folder)
    try:
        spent = 0.0
        for number in range(rounds):
            if number and spent > PATIENCE:
                break
            tell(f"{job.name}: round {number + 1} of at most {rounds}")
            contender.run_round()
            spent += contender.found.rounds[-1].get("seconds", 0.0)
        return contender.stop()
    finally:
        contender.kill()


def build_tables(stored: dict[str, Any]) -> list[Table]:
    """Build the table for a terminal of 80 columns."""
    title = f"growth; matmul {stored['matmul_gflops']:.0f} GFLOP/s"
    table = make_table(title, "", "encode s", "train s", "per s", "% of peak\nFLOP/s", "peak MB", "rounds")
    last = ""
    for cell in stored["cells"]:
        if last not in ("", cell["kind"]):
            table.add_section()
        last = cell["kind"]
        times = [f"{cell[key]:.3g}" if key in cell else "" for key in ("encode", "train")]
        share = f"{100 * cell['share']:.0f} %" if "share" in cell else ""
        rate = cell["items"] / max(cell[TIMED_KEY[last]], 0.01)
        table.add_row(
            f"{cell['at']:,} {TITLES[last]}",
            *times,
            f"{rate:,.0f}",
            share,
            f"{cell['peak_mb']:,.0f}",
            str(cell["rounds"]),
        )
    table.caption = "per s: pairs trained (pairs, batch size), captions encoded (tokens, languages)"
    return [table]


def draw_plot(stored: dict[str, Any], path: Path) -> None:
    """Draw seconds and peak memory of every cell, one panel per growing quantity."""
    with open_plot(path, 13.0, 3.2, what="the plot of growth") as figure:
        for panel, kind in zip(figure.subplots(1, 4), TITLES, strict=True):
            draw_panel(stored["cells"], kind, panel)


def draw_panel(every: list[dict[str, Any]], kind: str, panel: Any) -> None:
    """Draw seconds (left axis, solid) and peak memory (right axis, dashed) of one growing quantity."""
    cells = [cell for cell in every if cell["kind"] == kind]
    where = [cell["at"] for cell in cells]
    seconds = [max(cell[TIMED_KEY[kind]], 0.01) for cell in cells]
    memory = panel.twinx()
    panel.plot(where, seconds, "o-", color=GREEN)
    memory.plot(where, [cell["peak_mb"] for cell in cells], "s--", color="#d55e00")
    memory.set_ylim(0, 1.1 * max(cell["peak_mb"] for cell in every))
    memory.grid(visible=False)
    ticks, (low, high) = choose_ticks(seconds), (min(seconds) / 1.5, max(seconds) * 1.5)
    panel.set(xscale="log", yscale="log", xlabel=TITLES[kind], ylim=(low, high))
    panel.set_xticks(where, [f"{at:,}" for at in where])
    panel.set_yticks(ticks, [f"{tick:.2g}" for tick in ticks])
    panel.minorticks_off()
    panel.set_ylabel(f"{'training' if TIMED_KEY[kind] == 'train' else 'encoding'}, s (solid)", color=GREEN)
    memory.set_ylabel("peak memory, MB (dashed)", color="#d55e00")


def choose_ticks(values: list[float]) -> list[float]:
    """The least, a middle and the largest value, without a middle one whose label would overlap another's."""
    low, *between, high = sorted(values)
    room = (high / low * 2.25) ** 0.08  # a twelfth of the axis, which reaches from low / 1.5 to 1.5 high
    middle = [value for value in between[len(between) // 2 : len(between) // 2 + 1] if low * room < value < high / room]
    return [low, *middle, high]
