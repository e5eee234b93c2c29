"""A comparison of two models as a table, as JSON and as a forest plot."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from polyclip.core.storage import write_text
from polyclip.core.terminal import make_text
from polyclip.errors import PolyclipError
from polyclip.evaluation.significance import BETTER, UNCLEAR, WORSE, Comparison, Difference
from polyclip.report.plot import GREEN, GREY, add_legend, open_plot
from polyclip.report.table import format_language

LOOK = {
    BETTER: ("o", GREEN),
    WORSE: ("s", "#d55e00"),
    UNCLEAR: ("D", GREY),
}  # marker and colour; told apart without colour too
SHOWN = {BETTER: ("better", "bold green"), WORSE: ("worse", "bold red"), UNCLEAR: ("cannot tell", "")}


def build_comparison_table(found: Comparison) -> Table:
    """Build a table of all languages, largest gain first, and their mean; fits 80 columns."""
    drawn = Table(
        title=f"B against A: {found.metric}, {found.direction.replace('_', ' ')}, {found.benchmark} · "
        f"{found.protocol} · {found.split}",
        caption=f"A: {found.a}; B: {found.b}; percent [95 % interval of this language alone]; p: two-sided, "
        f"{found.correction} "
        f"({len(found.languages)}); "
        f"mean: unweighted, of these {len(found.languages)} languages, its p is one test",
        header_style="bold",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    drawn.add_column("language", max_width=20)
    for heading in ("A", "B", "B - A", "p"):
        drawn.add_column(heading, justify="right", no_wrap=True)
    drawn.add_column("B is", no_wrap=True)
    for line in sort_by_gain(found.languages):
        drawn.add_row(format_language(line.language), *format_cells(line))
    drawn.add_section()
    drawn.add_row(make_text(f"mean of {len(found.languages)}", "bold"), *format_cells(found.mean))
    return drawn


def sort_by_gain(lines: Sequence[Difference]) -> list[Difference]:
    """Sort languages by their difference, largest gain first."""
    return sorted(lines, key=lambda line: (-line.difference, line.language))


def format_cells(line: Difference) -> tuple[str | Text, ...]:
    """Format both values, the difference with its interval, p and the verdict."""
    change = f"{100 * line.difference:+.1f} [{100 * line.low:+.1f}, {100 * line.high:+.1f}]"
    return f"{100 * line.a:.1f}", f"{100 * line.b:.1f}", change, f"{line.adjusted:.4f}", make_text(*SHOWN[line.verdict])


def summarize_comparison(found: Comparison) -> str:
    """Summarize the verdicts in words."""
    named = {
        verdict: [line.language for line in found.languages if line.verdict == verdict]
        for verdict in (BETTER, WORSE, UNCLEAR)
    }
    said = "; ".join(
        f"{verdict} in {len(codes)}" + (f" ({', '.join(codes)})" if codes else "") for verdict, codes in named.items()
    )
    cut, size = found.metric.partition("@")[2], found.gallery[1]
    deep = found.metric.startswith("recall@") and cut != "1" and 10 * int(cut) > size
    vague = f" {found.metric} says little among {size} images: compare with --metric recall@1." if deep else ""
    out = f" Left out, because only one was scored in them: {', '.join(found.left_out)}." if found.left_out else ""
    return (
        f"B is {said}; on average {found.mean.verdict}. Two models were compared, not two methods: another seed is "
        f"another model.{vague}{out}"
    )


def format_comparison_json(found: Comparison) -> str:
    """Format the comparison as JSON (schema 1), values in [0, 1]."""
    return json.dumps({"schema": 1, **asdict(found)}, ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def write_comparison(folder: Path, found: Comparison) -> list[Path]:
    """Write compare.json and compare.png.

    Args:
        folder: Where to write.
        found: The comparison.

    Returns:
        The paths of both files.

    Raises:
        PolyclipError: matplotlib is not installed.

    """
    if find_spec("matplotlib") is None:
        raise PolyclipError(
            "The plot needs matplotlib, which is not installed: pip install 'polyclip[study]'; without --out there "
            "is no plot."
        )
    write_text(folder / "compare.json", format_comparison_json(found), what="the comparison")
    height = 1.6 + 0.24 * (len(found.languages) + 1)
    with open_plot(folder / "compare.png", 8.0, height, what="the comparison's plot") as figure:
        draw_forest(found, figure.subplots())
    return [folder / "compare.json", folder / "compare.png"]


def draw_forest(found: Comparison, axes: Any) -> None:
    """Draw the difference and its interval for each language, in percentage points, and the mean below.

    Names are in Latin letters, so that every font has them.

    Args:
        found: The comparison.
        axes: Empty matplotlib axes.

    """
    lines = [*sort_by_gain(found.languages), found.mean]
    axes.axvline(0, color=GREY, linewidth=0.9)
    axes.axhline(len(lines) - 1.5, color=GREY, linewidth=0.5)
    for verdict, (marker, colour) in LOOK.items():
        own = [(place, line) for place, line in enumerate(lines) if line.verdict == verdict]
        if own:
            plot_points(axes, own, marker, colour, verdict)
    names = [format_language(line.language) for line in lines[:-1]] + [f"mean of {len(found.languages)}"]
    axes.set_yticks(range(len(lines)), names)
    axes.set_ylim(len(lines) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    axes.set(xlabel=f"{found.metric}, B - A, percentage points [95 % of each language alone]")
    axes.set_title(
        f"{found.benchmark} · {found.protocol} · {found.direction.replace('_', ' ')}\nA: {Path(found.a).name}   B: "
        f"{Path(found.b).name}",
        fontsize=10,
    )
    add_legend(axes, f"B is\n({found.correction})")


def plot_points(axes: Any, own: Sequence[tuple[int, Difference]], marker: str, colour: str, name: str) -> None:
    """Plot the languages with one verdict."""
    values = [100 * line.difference for _, line in own]
    error = [
        [100 * max(0.0, line.difference - line.low) for _, line in own],
        [100 * max(0.0, line.high - line.difference) for _, line in own],
    ]
    axes.errorbar(
        values,
        [place for place, _ in own],
        xerr=error,
        fmt=marker,
        color=colour,
        markersize=4.5,
        linewidth=1.2,
        label=name,
    )
