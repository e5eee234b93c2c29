"""Time and memory of scoring a benchmark of Crossmodal-3600's size: 261,375 captions, 3,600 images, 36 languages.

Random embeddings stand for embeddings, so only the scoring is measured: both protocols and directions of every
language, all metrics,
intervals, chance level, means over languages, and the files. Memory is the peak of the process minus what it had
before, torch loaded.

    python speed/scoring.py [--captions 261375] [--pictures 3600] [--languages 36] [--dim 384]
"""

import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.console import Console
from rich.table import Table
from torch.nn.functional import normalize

from polyclip.core.progress import Progress
from polyclip.evaluation.results import Result, Score
from polyclip.evaluation.retrieval import Items, score_both_directions
from polyclip.report.result import write_result

LIMIT = 2000  # MB on top of the model


def measure_peak() -> float:
    """Return the peak memory of the process in MB."""
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used / (1e6 if sys.platform == "darwin" else 1e3)


def score_language(code: str, captions: int, image: Items, dim: int) -> list[Score]:
    """Score both protocols of one language, with captions cycling over the images."""
    keys = [image.keys[n % len(image.keys)] for n in range(captions)]
    vectors = normalize(torch.randn(captions, dim), dim=1)
    facts: dict[str, Any] = {"benchmark": "random", "split": "test", "language": code, "seen": False}
    first = min(captions, len(image.keys))
    scores = score_both_directions(
        Items(vectors[:first], keys[:first], keys[:first]), image, protocol="first-caption", **facts
    )
    return scores + score_both_directions(Items(vectors, keys, keys), image, protocol="all-captions", **facts)


def main(
    captions: Annotated[int, typer.Option(min=1)] = 261_375,
    pictures: Annotated[int, typer.Option(min=2)] = 3600,
    languages: Annotated[int, typer.Option(min=1)] = 36,
    dim: Annotated[int, typer.Option(min=1)] = 384,
) -> None:
    """Print the table of docs/benchmarks.md; exit code 1 above the limit."""
    torch.manual_seed(0)
    torch.randn(64, 64) @ torch.randn(64, 64)  # allocates the library's own buffers
    before, started = measure_peak(), time.monotonic()
    names = [f"{n:016x}" for n in range(pictures)]
    image = Items(normalize(torch.randn(pictures, dim), dim=1), names, names)
    scores: list[Score] = []
    seconds = []
    with Progress("scoring", languages) as progress:
        for n in range(languages):
            moment = time.process_time()
            scores += score_language(f"l{n:02}", captions // languages + (n < captions % languages), image, dim)
            seconds.append(time.process_time() - moment)
            progress.advance(1)
    with tempfile.TemporaryDirectory() as folder:
        moment = time.process_time()
        write_result(Path(folder) / "result.json", Result({}, {}, {}, scores, {"notes": []}))
        writing = time.process_time() - moment
        size = sum(path.stat().st_size for path in Path(folder).iterdir()) / 1e6
    table = Table(
        "what",
        "value",
        title=f"{captions:,} captions, {pictures:,} images, {languages} languages, {torch.get_num_threads()} threads",
    )
    table.add_row("peak memory on top, MB", f"{measure_peak() - before:,.0f}")
    table.add_row("whole, s of CPU time", f"{sum(seconds) + writing:.0f}")
    table.add_row("whole, s by the clock", f"{time.monotonic() - started:.0f}")
    table.add_row("one language, s of CPU time (median)", f"{statistics.median(seconds):.2f}")
    table.add_row("means and files, s of CPU time", f"{writing:.1f}")
    table.add_row("files, MB", f"{size:.1f}")
    Console().print(table)
    if measure_peak() - before > LIMIT:
        raise SystemExit(1)


if __name__ == "__main__":
    typer.run(main)
