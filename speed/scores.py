"""Part c: time and memory of retrieval scores, against CLIP_benchmark on the same matrices.

Crossmodal-3600's size for one language: random unit vectors as embeddings, several captions per image, both directions,
recall@1, 5
and 10. CLIP_benchmark's `evaluate` gets a model that returns these embeddings, in batches of 64. polyclip is measured
twice: recall
alone, and everything that its benchmarks report (mean reciprocal rank, nDCG, median rank, chance level, intervals from
1,000 bootstrap
samples).
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from speed._tables import make_table
from speed._turns import BenchmarkError, Job, measure_in_turns


@dataclass(frozen=True)
class Settings:
    """Size of the matrices."""

    pictures: int = 3600
    captions: int = 7200
    dim: int = 384


QUICK = Settings(pictures=50, captions=100, dim=16)
TOLERANCE = 1e-6  # two ways of adding up a mean


def run(settings: Settings, rounds: int, folder: Path, tell: Callable[[str], None], together: bool) -> dict[str, Any]:
    """Measure everything and return what is stored.

    Raises:
        BenchmarkError: Two contenders' recall values differ, which makes their times meaningless.

    """
    common = asdict(settings)
    names = {
        "CLIP_benchmark": "clip_benchmark",
        "polyclip, recall": "recall_alone",
        "polyclip, everything": "everything",
    }
    jobs = [
        Job("matmul", "speed._machine:matmul"),
        *(Job(name, f"speed._scores:{target}", common) for name, target in names.items()),
    ]
    matmul, *found = measure_in_turns(jobs, rounds, folder, tell, together)
    values = {m.name: m.ready["recalls"] for m in found}
    first = next(iter(values.values()))
    for name, recalls in values.items():
        if any(abs(recalls[key] - first[key]) > TOLERANCE for key in first):
            raise BenchmarkError(
                f"{name} gives recall {recalls}, {next(iter(values))} gives {first} on the same matrices; expected "
                "the same."
            )
    flops = 2 * 2 * settings.pictures * settings.captions * settings.dim  # one product a direction
    rows = [
        {
            "name": m.name,
            "seconds": m.median("seconds"),
            "processor": m.median("processor"),
            "share": flops / m.median("seconds") / matmul.median("rate"),
            "peak_mb": m.peak,
            "on_top_mb": m.peak - m.ready["before_mb"],
        }
        for m in found
    ]
    return {
        "settings": common,
        "recalls": first,
        "matmul_gflops": matmul.median("rate") / 1e9,
        "rows": rows,
        "raw": {m.name: m.to_json() for m in found},
    }


def build_tables(stored: dict[str, Any]) -> list[Table]:
    """Build the table for a terminal of 80 columns."""
    settings, rows = stored["settings"], stored["rows"]
    title = (
        f"{settings['captions']:,} captions, {settings['pictures']:,} images; equal recalls; matmul "
        f"{stored['matmul_gflops']:.0f} GFLOP/s"
    )
    table = make_table(title, "", "seconds", "speed-up", "CPU s", "% of peak\nFLOP/s", "peak MB", "MB on\ntop")
    for row in rows:
        ratio = rows[0]["seconds"] / row["seconds"]
        shares = (
            f"{row['processor']:.2f}",
            f"{100 * row['share']:.1f} %",
            f"{row['peak_mb']:,.0f}",
            f"{row['on_top_mb']:,.0f}",
        )
        table.add_row(row["name"], f"{row['seconds']:.2f}", f"{ratio:.1f}", *shares)
    return [table]
