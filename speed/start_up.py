"""How long commands take to answer: `polyclip --help`, and `polyclip search` in a ready index, beside what importing torch alone takes.

A run on sixty Noto emoji is aligned and its pictures are indexed first; it is the start that is measured, which such a run shares with a large one. Each
command is a process of its own, as when it is typed; they take turns, so that a noisy machine is noisy for all; medians.

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
    """Emoji with their Swahili and English names, as a corpus of one's own; returns its pack."""
    emoji = load_corpus("emoji")
    pictures = emoji.reader.pictures(emoji.folder, "noto")
    names = {
        code: {row.concept: list(row.captions) for row in emoji.reader.read(emoji.folder, code, "train")}
        for code in ("sw", "en")
    }
    concepts = [concept for concept in names["sw"] if concept in names["en"] and concept in pictures][::10][:PICTURES]
    lines = []
    for concept in concepts:
        pictures[concept].open().save(folder / f"{concept}.png")
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


def seconds(command: list[str], folder: Path) -> float:
    """Of one process from start to end, in `folder`, where it may leave a page.

    Raises CalledProcessError where it fails.
    """
    started = time.monotonic()
    subprocess.run(command, check=True, capture_output=True, cwd=folder, env=os.environ | {"HF_HUB_OFFLINE": "1"})
    return time.monotonic() - started


def main(rounds: Annotated[int, typer.Option(min=1)] = 5) -> None:
    """Print the table."""
    polyclip = [sys.executable, "-m", "polyclip"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "mine").mkdir()
        pack, run = write_corpus(folder / "mine"), folder / "run"
        inputs = ["--corpus", str(pack), "--method", "heads", "--vision-tower", TOWER, "--epochs", "2"]
        seconds([*polyclip, "align", "--lang", "sw", *inputs, "--out", str(run)], folder)
        seconds([*polyclip, "index", str(folder / "mine"), "--model", str(run)], folder)
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
            "polyclip search, by a picture": [
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
                spent = seconds(command, folder)
                if number:  # the first round reads the files from disk
                    found[label].append(spent)
    table = Table("command", "s, median", "least - most", f"x {BASE}", title=f"from start to end, {rounds} rounds")
    for label, each in found.items():
        ratio = statistics.median(each) / statistics.median(found[BASE])
        table.add_row(label, f"{statistics.median(each):.2f}", f"{min(each):.2f} - {max(each):.2f}", f"{ratio:.2f}")
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
