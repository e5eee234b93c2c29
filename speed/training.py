"""Part a: time, CPU time and energy of training to a given validation recall, and the cost of a step.

Data: names and keywords in Swahili and English of the starter corpus' training concepts, with images of all styles.
Every contender gets
the same pairs in the same order, as decoded pixels, the same e5-small and frozen EfficientNet-Lite0, InfoNCE, AdamW, 10
% warm-up and a
cosine schedule. polyclip treats two captions of one concept in a batch as positives, the others as negatives.
"""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.table import Table

from speed._tables import format_figure, make_table
from speed._turns import Job, Measurement, measure_in_turns, run_once

POLYCLIP, OPEN_CLIP, OTHERS = "speed._training_polyclip", "speed._training_open_clip", "speed._training_transformers"
BASE = "open_clip --lock-image"
METHODS = {
    "heads": {"method": "heads"},
    "lilt-ln": {"method": "lilt-ln"},
    "lilt-lwa": {"method": "lilt-lwa"},
    "lilt-lwa, top 4": {"method": "lilt-lwa", "text_layers": "-4:"},
    "full": {"method": "full"},
}
EPOCHS = 20  # of heads, polyclip's default, over which the encoding cost is spread
NOTE = (
    "to R: to the smallest of the contenders' best validation recalls within the steps; validation left out. "
    "encoding: what polyclip computes once for the whole corpus, any method and any number of later runs."
)


@dataclass(frozen=True)
class Settings:
    """Settings of a benchmark run, passed to the contenders as JSON."""

    steps: int = 45
    every: int = 3  # steps between two validations: one round
    batch: int = 64
    pixels: int = 96
    share: float = 1.0  # of the corpus' training concepts
    concepts: int = 100  # of validation: that many images, twice as many names
    context: int = 77  # tokens to which open_clip pads every caption; its default
    head_rate: float = 2e-3
    # of the others, who have one rate for everything: the best of those tried, see docs/explanation/performance.md
    peer_rate: float = 3e-4


QUICK = Settings(steps=1, every=1, batch=8, concepts=10, pixels=64, share=0.01)


@dataclass
class Row:
    """Results of one contender."""

    name: str
    seconds_a_step: float
    steps_a_second: float
    of_base: float  # speed-up of a step over BASE
    share: float  # of peak FLOP/s (matrix product)
    peak_mb: float
    recalls: list[float] = field(default_factory=list)  # before, and after each round
    seconds_to: float | None = None
    processor_to: float | None = None
    joules_to: float | None = None
    encoding: float = 0.0  # seconds of encoding before the first step
    with_encoding: float | None = None  # seconds to the recall, that added
    of_base_with_encoding: float | None = None  # speed-up over BASE with the encoding spread over a default run's steps


def run(settings: Settings, rounds: int, folder: Path, tell: Callable[[str], None], together: bool) -> dict[str, Any]:
    """Measure everything and return what is stored."""
    common = asdict(settings)
    gathered = run_once(Job("pairs and images", "speed._trial:gather", common), folder, tell)
    encoding = run_once(Job("polyclip: encoding the corpus once", f"{POLYCLIP}:encode", common), folder, tell)
    found = measure_in_turns(
        list_jobs(common), max(rounds, settings.steps // settings.every + 1), folder, tell, together
    )
    rate, *contenders = found
    steps = EPOCHS * math.ceil(gathered.ready["named"] / settings.batch)
    rows, threshold = build_rows(contenders, rate.median("rate"), encoding.median("seconds"), steps)
    return {
        "settings": common,
        "matmul_gflops": rate.median("rate") / 1e9,
        "corpus": gathered.ready,
        "encoding": encoding.to_json(),
        "steps_of_a_default_run": steps,
        "threshold": threshold,
        "energy": "measured by codecarbon"
        if all(r.get("energy_measured", True) for m in contenders for r in m.rounds)
        else "5 W a busy core, an assumption",
        "rows": [asdict(row) for row in rows],
        "raw": {m.name: m.to_json() for m in contenders},
    }


def list_jobs(common: dict[str, Any]) -> list[Job]:
    """List the matrix product, polyclip's methods, and the other libraries."""
    own = [
        Job(f"polyclip {name}", f"{POLYCLIP}:train", {**common, "recipe": recipe}) for name, recipe in METHODS.items()
    ]
    others = [
        Job(BASE, f"{OPEN_CLIP}:train", common),
        Job("open_clip, 32 tokens", f"{OPEN_CLIP}:train", {**common, "context": 32}),
        Job("transformers Trainer", f"{OTHERS}:trainer", common),
        Job("sentence-transformers", f"{OTHERS}:sentence_transformers", common),
    ]
    return [Job("matmul", "speed._machine:matmul"), *own, *others]


def build_rows(contenders: list[Measurement], rate: float, encoding: float, steps: int) -> tuple[list[Row], float]:
    """Build one row per contender, and return the recall R that times are measured to."""
    a_step = {m.name: m.median("seconds") / m.median("steps") for m in contenders}
    curves = {m.name: [m.ready["recall"], *(r["recall"] for r in m.rounds if "recall" in r)] for m in contenders}
    threshold = min(max(curve) for curve in curves.values())
    rows = []
    for m in contenders:
        flops = next(r["flops"] for r in m.rounds if "flops" in r)
        seconds = a_step[m.name]
        row = Row(m.name, seconds, 1 / seconds, a_step[BASE] / seconds, flops / seconds / rate, m.peak, curves[m.name])
        row.seconds_to, row.processor_to, row.joules_to = sum_until(m, threshold)
        row.encoding = encoding + m.ready["setup"] if "setup" in m.ready else 0.0
        row.with_encoding = row.seconds_to + row.encoding
        row.of_base_with_encoding = a_step[BASE] / (seconds + row.encoding / steps)
        rows.append(row)
    return rows, threshold


def sum_until(found: Measurement, threshold: float) -> tuple[float, float, float]:
    """Sum seconds, CPU seconds and joules of the rounds up to the first with a recall of at least `threshold`."""
    spent = [0.0, 0.0, 0.0]
    if found.ready["recall"] < threshold:
        for one in found.rounds:
            spent = [total + one[key] for total, key in zip(spent, ("seconds", "processor", "joules"), strict=True)]
            if one["recall"] >= threshold:
                break
    return spent[0], spent[1], spent[2]


def build_tables(stored: dict[str, Any]) -> list[Table]:
    """Build the tables for a terminal of 80 columns."""
    settings = stored["settings"]
    columns = "s/step", "speed-up over\nopen_clip", "with encoding\nspread", "% of peak\nFLOP/s", "peak\nMB"
    first = make_table(f"a step of {settings['batch']} pairs", "", *columns)
    goal = f"training to a validation recall of R = {100 * stored['threshold']:.1f} %"
    second = make_table(goal, "", "best\nrecall", "s to R", "CPU s\nto R", "J to R", "s to R,\nencoding added")
    for row in stored["rows"]:
        ratios = format_figure(row["of_base"]), format_figure(row["of_base_with_encoding"])
        first.add_row(
            row["name"],
            format_figure(row["seconds_a_step"]),
            *ratios,
            f"{100 * row['share']:.0f} %",
            f"{row['peak_mb']:,.0f}",
        )
        spent = [format_figure(row[key]) for key in ("seconds_to", "processor_to", "joules_to", "with_encoding")]
        second.add_row(row["name"], f"{100 * max(row['recalls']):.1f}", *spent)
    facts = (
        f"matmul {stored['matmul_gflops']:.0f} GFLOP/s; encoding of {stored['corpus']['captions']:,} captions and "
        f"{stored['corpus']['pictures']:,} images"
    )
    first.caption = (
        f"{facts} {stored['encoding']['rounds'][0]['seconds']:.0f} s, spread over "
        f"{stored['steps_of_a_default_run']:,} steps"
    )
    second.caption = f"{NOTE} Energy: {stored['energy']}."
    if stored["threshold"] <= max(row["recalls"][0] for row in stored["rows"]):
        second.caption += (
            " R does not exceed a contender's recall before its first step: these times are meaningless, raise --steps."
        )
    return [first, second]
