"""Response time of commands: `polyclip --help`, and `polyclip search` in an index, against importing torch alone.

First a run on sixty Noto emoji is trained and its images are indexed; start-up time, which is measured, is the same for
large runs. Each
command is a process of its own, as when it is typed; commands take turns, so that noise affects all of them; medians.

    python speed/start_up.py [--rounds 5]
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from polyclip.data.corpus import load_corpus

PICTURES = 60
BASE = "import torch"
TOWER = "efficientnet-lite0:,size=64"


def write_corpus(folder: Path) -> Path:
    """Write emoji with their Swahili and English names as a corpus; returns its pack."""
    emoji = load_corpus("emoji")
    images = emoji.reader.pictures(emoji.folder, "noto")
    names = {
        code: {row.concept: list(row.captions) for row in emoji.reader.read(emoji.folder, code, "train")}
        for code in ("sw", "en")
    }
    concepts = [concept for concept in names["sw"] if concept in names["en"] and concept in images][::10][:PICTURES]
    lines = []
    for concept in concepts:
        images[concept].open().save(folder / f"{concept}.png")
        lines.append(
            json.dumps(
                {"image": f"{concept}.png", "captions": {code: own[concept] for code, own in names.items()}},
                ensure_ascii=False,
            )
            + "\n"
        )
    (folder / "captions.jsonl").write_text("".join(lines), "utf-8")
    pack = folder / "corpus.toml"
    pack.write_text('name = "mine"\nabout = "sixty emoji"\nreader = "jsonl"\nfolder = "."\n', "utf-8")
    return pack


def time_command(command: list[str], folder: Path) -> float:
    """Return the seconds of one process from start to end, run in `folder`.

    Raises:
        CalledProcessError: It fails.

    """
    started = time.monotonic()
    subprocess.run(command, check=True, capture_output=True, cwd=folder, env=os.environ | {"HF_HUB_OFFLINE": "1"})
    return time.monotonic() - started


def main(rounds: Annotated[int, typer.Option(min=1)] = 5) -> None:
    """Print the table of response times."""
    polyclip = [sys.executable, "-m", "polyclip"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "mine").mkdir()
        pack, run = write_corpus(folder / "mine"), folder / "run"
        inputs = ["--corpus", str(pack), "--method", "heads", "--vision-tower", TOWER, "--epochs", "2"]
        time_command([*polyclip, "align", "--lang", "sw", *inputs, "--out", str(run)], folder)
        time_command([*polyclip, "index", str(folder / "mine"), "--model", str(run)], folder)
        commands = {
            BASE: [sys.executable, "-c", BASE],
            "polyclip --help": [*polyclip, "--help"],
            "polyclip search, by words": [*polyclip, "search", "paka mweusi", "--index", str(folder / "mine")],
            "polyclip search, by words with a stop": [
                *polyclip,
                "search",
                "paka mweusi.",
                "--index",
                str(folder / "mine"),
                "--lang",
                "sw",
            ],
            "polyclip search, by an image": [
                *polyclip,
                "search",
                "--picture",
                str(next((folder / "mine").glob("*.png"))),
                "--index",
                str(folder / "mine"),
            ],
        }
        found: dict[str, list[float]] = {label: [] for label in commands}
        for number in range(rounds + 1):
            for label, command in commands.items():
                spent = time_command(command, folder)
                if number:  # the first round reads the files from disk
                    found[label].append(spent)
    table = Table("command", "s, median", "least - most", f"x {BASE}", title=f"from start to end, {rounds} rounds")
    for label, each in found.items():
        ratio = statistics.median(each) / statistics.median(found[BASE])
        table.add_row(label, f"{statistics.median(each):.2f}", f"{min(each):.2f} - {max(each):.2f}", f"{ratio:.2f}")
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
