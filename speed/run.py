"""Benchmark speed, memory and energy against other libraries in one run: prints tables and stores JSON.

    pip install '.[starter,benchmark]' && python -m speed.run [--only a,b,c,d] [--rounds 5] [--quick] [--out
        speed/results]

a: training; b: encoding; c: retrieval scores; d: growth with pairs, batch size, caption length and languages. About 30
minutes on two
idle cores.
"""

import json
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from speed import encoding, growth, scores, training
from speed._machine import collect_facts, measure_free_memory
from speed._turns import BenchmarkError, Job, run_once

PARTS = {"a": "training", "b": "encoding", "c": "scores", "d": "growth"}
NEEDED = {  # by part: modules, and the packages that they come in
    "a": {"open_clip": "open_clip_torch", "sentence_transformers": "sentence-transformers"},
    "b": {"open_clip": "open_clip_torch", "sentence_transformers": "sentence-transformers"},
    "c": {"clip_benchmark": "clip-benchmark"},
    "d": {"matplotlib": "matplotlib"},
}
IN_TURNS = (
    26  # GB: four contenders that train a whole text encoder with AdamW, and polyclip's five, held at the same time
)
console = Console()
Tell = Callable[[str], None]


def measure_part(
    part: str, rounds: int, quick: bool, asked: training.Settings, folder: Path, tell: Tell, together: bool
) -> dict[str, Any]:
    """Measure a part and return what is stored."""
    if part == "a":
        return training.run(training.QUICK if quick else asked, rounds, folder, tell, together)
    if part == "b":
        return encoding.run(encoding.QUICK if quick else encoding.Settings(), rounds, folder, tell, together)
    if part == "c":
        return scores.run(scores.QUICK if quick else scores.Settings(), rounds, folder, tell, together)
    return growth.run(growth.QUICK if quick else growth.Settings(), rounds, folder, tell)


def check_libraries(parts: list[str]) -> None:
    """Check that the libraries to compare with are installed.

    Raises:
        BenchmarkError: One is missing.

    """
    missing = sorted(
        {package for part in parts for module, package in NEEDED[part].items() if find_spec(module) is None}
    )
    if missing:
        raise BenchmarkError(
            f"{', '.join(missing)}: not installed, and part {', '.join(parts)} needs it. Install with: pip install "
            "'.[starter,benchmark]'"
        )


def check_memory(parts: list[str], quick: bool, together: bool) -> None:
    """Check that training in turns fits into memory, before the system kills a process.

    Raises:
        BenchmarkError: It does not fit.

    """
    found = measure_free_memory()
    if "a" in parts and together and not quick and found is not None and found < IN_TURNS:
        raise BenchmarkError(
            f"Training in turns requires {IN_TURNS} GB of memory, {found:.0f} GB are free. Free some memory, or add "
            "--one-at-a-time."
        )


def store_record(path: Path, record: dict[str, Any]) -> None:
    """Write a JSON file atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.part")
    temporary.write_text(json.dumps(record, ensure_ascii=False, indent=1) + "\n", "utf-8")
    temporary.replace(path)


def parse_parts(only: str) -> list[str]:
    """Parse the option --only.

    Raises:
        BenchmarkError: A part does not exist.

    """
    parts = [part.strip() for part in only.split(",")]
    for part in parts:
        if part not in PARTS:
            raise BenchmarkError(
                f"--only {only}: no part called {part!r}; expected some of "
                f"{', '.join(f'{key} ({name})' for key, name in PARTS.items())}."
            )
    return parts


def main(
    only: Annotated[
        str, typer.Option(help="Parts, comma between them: a training, b encoding, c scores, d growth.")
    ] = "a,b,c,d",
    rounds: Annotated[int, typer.Option(min=1, help="Figures are medians over as many.")] = 5,
    quick: Annotated[
        bool, typer.Option(help="The smallest sizes: whether everything runs. Its figures mean nothing.")
    ] = False,
    steps: Annotated[
        int, typer.Option(min=3, help="Of training, a multiple of 3: more of them, a higher recall to compare at.")
    ] = 45,
    peer_rate: Annotated[
        float, typer.Option(min=0, help="Learning rate of the other libraries' training.")
    ] = training.Settings().peer_rate,
    one_at_a_time: Annotated[
        bool, typer.Option(help="Contenders one after the other rather than in turns: less memory, more noise.")
    ] = False,
    out: Annotated[Path, typer.Option(help="Folder for one JSON file a part, and the plot of d.")] = Path(
        "speed/results"
    ),
) -> None:
    """Run the benchmarks; contenders take turns, each in its own process so that its peak memory is its own."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the work folder is removed
    work = Path(tempfile.mkdtemp(prefix="polyclip-benchmarks-"))
    try:
        parts = parse_parts(only)
        check_libraries(parts)
        check_memory(parts, quick, not one_at_a_time)
        if steps % 3:
            raise BenchmarkError(f"--steps is {steps}, expected a multiple of 3: validation comes after every third.")
        asked = training.Settings(steps=steps, peer_rate=peer_rate)
        for part in parts:
            started, record = time.monotonic(), collect_facts()
            with console.status(f"{PARTS[part]}: getting ready") as status:
                tell = lambda text, part=part: status.update(f"{PARTS[part]}: {text}")  # noqa: E731
                if not (work / "e5").exists() and part in "ab":
                    run_once(Job("the embedded weights", "speed._material:export"), work, tell)
                record |= {"part": PARTS[part], "rounds": rounds, "quick": quick} | measure_part(
                    part, rounds, quick, asked, work, tell, not one_at_a_time
                )
            record["seconds"] = round(time.monotonic() - started)
            store_record(out / f"{PARTS[part]}.json", record)
            show_part(part, record, out)
    except BenchmarkError as error:
        Console(stderr=True).print(f"Error: {error}", style="red", highlight=False, soft_wrap=True)
        raise SystemExit(2) from None
    finally:
        shutil.rmtree(work, ignore_errors=True)


def show_part(part: str, record: dict[str, Any], out: Path) -> None:
    """Print the part's tables; for d also draw the plot."""
    module = {"a": training, "b": encoding, "c": scores, "d": growth}[part]
    for table in module.build_tables(record):
        console.print(table)
    if part == "d":
        growth.draw_plot(record, out / "growth.png")
    console.print(f"{PARTS[part]}: {record['seconds']:,} s, stored in {out / PARTS[part]}.json", highlight=False)


if __name__ == "__main__":
    typer.run(main)
