"""Findings of a comparison of training data and benchmark as a table and lines."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.table import Table

from polyclip.core.text import show_line
from polyclip.evaluation.leakage.compare import LONG, Findings, Leak

SHOWN = 5  # of each kind


def build_table(findings: Findings) -> Table:
    """Build a table of the first leaks of each kind and their numbers."""
    drawn = Table(
        title=f"{findings.train} in {findings.other}",
        header_style="bold",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    drawn.add_column("leak", no_wrap=True)
    for heading in ("in training", "in the benchmark", "what is shared"):
        drawn.add_column(heading, overflow="fold")
    count = Counter(leak.kind for leak in findings.leaks)
    for kind, number in count.items():
        found = [leak for leak in findings.leaks if leak.kind == kind]
        for leak in found[:SHOWN]:
            drawn.add_row(
                kind,
                show_line(shorten_path(leak.train)),
                show_line(shorten_path(leak.other)),
                f"{leak.detail}{f' ({leak.source})' if leak.source else ''}",
            )
        if number > SHOWN:
            drawn.add_row("", f"and {number - SHOWN:,} more", "", "")
    return drawn


def shorten_path(name: str) -> str:
    """Return the last two parts of a path."""
    return "/".join(Path(name).parts[-2:])


def format_lines(findings: Findings, reason: str) -> Iterator[str]:
    """Yield what was compared, what is shared without being a leak, and the verdict."""
    yield from findings.notes
    counts = findings.captions
    for what, called in (("pictures", "images"), ("listed", "names of images")):
        mine, theirs = findings.compared[what]
        yield f"compared: {theirs:,} {called} of the benchmark with {mine:,} of the training data"
    yield (
        f"captions: {counts['shared']:,} of {counts['captions']:,} are also in training, "
        f"{counts['shared_sentences']:,} of the {counts['sentences']:,} "
        f"with {LONG} letters or more (the same word for another image is not a leak)"
    )
    yield summarize_leaks(findings.leaks, reason)


def summarize_leaks(leaks: list[Leak], reason: str) -> str:
    """Summarize the leaks in one sentence."""
    if not leaks:
        return "No leak found."
    return (
        f"{len(leaks):,} leaks, allowed: {reason}"
        if reason
        else f"{len(leaks):,} leaks. To continue anyway: --allow-leakage REASON."
    )
