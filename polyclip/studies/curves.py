"""Tables and plots of studies along one quantity: one line per method, one column per condition."""

from typing import Any

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
    conditions = results.list_conditions()
    for number, method in enumerate(results.list_labels()):
        found = compute_curve(results, method, languages)
        places = [conditions.index(condition) for condition in found]
        values = [100 * figure.value for figure in found.values()]
        error = [[100 * (f.value - f.low) for f in found.values()], [100 * (f.high - f.value) for f in found.values()]]
        axes.errorbar(
            [place + 0.04 * number for place in places],
            values,
            yerr=error,
            marker="o",
            capsize=2,
            label=method,
            color=f"C{number % 10}",
        )
    axes.set_xticks(range(len(conditions)), conditions)
    axes.set(xlabel=xlabel, ylabel="text to image recall@10, %")
    axes.legend(loc="best", fontsize=7)
