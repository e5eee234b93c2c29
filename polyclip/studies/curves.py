"""Tables and plots of studies along one quantity: one line per method, one column per condition."""

from typing import Any

from polyclip.studies.drawing import draw_lines
from polyclip.studies.figures import Estimate, compute_recall
from polyclip.studies.runner import Results
from polyclip.studies.sheet import Sheet


def compute_curve(results: Results, method: str, languages: list[str]) -> dict[str, Estimate]:
    """Compute recall@10 under each condition that was run."""
    return {
        condition: compute_recall(records, languages)
        for (label, condition), records in results.records.items()
        if label == method
    }


def build_sheet(results: Results, title: str, languages: list[str], caption: str) -> Sheet:
    """Build a table with one row per method."""
    conditions = results.list_conditions()
    rows = []
    for method in results.list_labels():
        found = compute_curve(results, method, languages)
        rates = sorted({results.chosen[method, condition] for condition in found})
        cells = [found[condition].format_percent() if condition in found else "-" for condition in conditions]
        rows.append((method, *cells, ", ".join(f"{rate:g}" for rate in rates if rate) or "-"))
    return Sheet(title, ("method", *conditions, "rate"), rows, caption)


def draw_curves(results: Results, axes: Any, languages: list[str], xlabel: str) -> None:
    """Draw one line per method, with intervals."""
    lines = {method: compute_curve(results, method, languages) for method in results.list_labels()}
    draw_lines(axes, results.list_conditions(), lines, xlabel)
