"""Report of `polyclip fewshot`: a table, a plot, and how many captions reach most of the full-data recall."""

import math
from dataclasses import dataclass
from typing import Any

from polyclip.core.fields import read_fields
from polyclip.studies.drawing import draw_shots
from polyclip.studies.figures import Estimate, Record, compute_recall_over_seeds
from polyclip.studies.runner import Results
from polyclip.studies.sheet import Sheet

HUMANS, MACHINES = "human", "machine"
ALL = "all"
ENOUGH = 0.9  # share of the full-data recall


@dataclass(frozen=True)
class Curves:
    """Few-shot curves to report; offers the same functions as a file of `questions`."""

    languages: tuple[str, ...]
    counts: tuple[int, ...]
    kinds: tuple[str, ...]
    there: dict[str, int]  # named training images of each language

    CLAIM = "How many captions of a new language are worth how much, on top of a run that does not know it."

    def select_records(self, results: Results, code: str, kind: str) -> dict[str, list[Record]]:
        """Return records by number of shots, in order; for human captions also `all`."""
        wanted = dict.fromkeys(["0", *map(str, sorted(self.counts)), ALL])
        return {
            name: results.records[f"{code} {kind}", name]
            for name in wanted
            if (f"{code} {kind}", name) in results.records
        }

    def collect_points(self, results: Results) -> dict[str, dict[str, dict[str, dict[str, float]]]]:
        """Collect recall@10 by language, kind of captions and number of shots: value, low and high in [0, 1]."""
        return {
            code: {
                kind: {
                    name: read_fields(compute_recall_over_seeds(found, [code]), ("value", "low", "high"))
                    for name, found in self.select_records(results, code, kind).items()
                }
                for kind in self.kinds
            }
            for code in self.languages
        }

    def table(self, results: Results) -> Sheet:
        """Build a table with one row per number of shots, from the starting run to all human captions."""
        rows = [row for code in self.languages for row in self.build_rows(results, code)]
        seeds = results.setting.seeds
        return Sheet(
            "recall over shots",
            ("shots", *self.kinds, "of all, %", "retention"),
            rows,
            "text to image recall@10 on test concepts, percent [95 % over concept groups and seeds], mean of "
            f"{seeds} seed{'s' if seeds > 1 else ''}; "
            "shots: named images of the language, of human captions or of a machine's; 0: the run without any; of "
            "all: share of what all human "
            "captions give; retention: the same recall of the languages trained before",
        )

    def build_rows(self, results: Results, code: str) -> list[tuple[str, ...]]:
        """Build the table rows of one language."""
        found = {kind: self.select_records(results, code, kind) for kind in self.kinds}
        whole = compute_recall_over_seeds(found[HUMANS][ALL], [code]).value
        rows = []
        for name, records in found[HUMANS].items():
            cells = [
                compute_recall_over_seeds(found[kind][name], [code]).format_percent() if name in found[kind] else "-"
                for kind in self.kinds
            ]
            share = compute_recall_over_seeds(records, [code]).value / whole if whole else math.nan
            label = f"{code} {name}" + (f" ({self.there[code]})" if name == ALL else "")
            rows.append((label, *cells, f"{100 * share:.0f}", compute_retention(records).format_percent()))
        return rows

    def plot(self, results: Results, axes: Any) -> None:
        """Draw one line per language and kind over shots on a logarithmic scale, with zero-shot and full-data
        levels.
        """
        curves, levels = {}, []
        for code in self.languages:
            found = {kind: self.select_records(results, code, kind) for kind in self.kinds}
            curves[code] = {
                kind: {name: compute_recall_over_seeds(cells, [code]) for name, cells in own.items()}
                for kind, own in found.items()
            }
            human = curves[code][HUMANS]
            levels.append((f"{code}, all {self.there[code]}", human[ALL], human["0"]))
        draw_shots(axes, curves, ["0", *(str(count) for count in sorted(self.counts) if count)], levels)

    def verdict(self, results: Results) -> str:
        """Say for each language how many captions reach 90 % of the full-data recall."""
        return " ".join(self.describe_language(results, code) for code in self.languages)

    def describe_language(self, results: Results, code: str) -> str:
        """Return the verdict on one language: `sw: about 210 human captions give 90 % of ...`."""
        found = {
            name: compute_recall_over_seeds(records, [code]).value
            for name, records in self.select_records(results, code, HUMANS).items()
        }
        values = {int(name): value for name, value in found.items() if name != ALL} | {self.there[code]: found[ALL]}
        goal = ENOUGH * found[ALL]
        said = (
            f"all {self.there[code]} named images find {100 * found[ALL]:.1f} % among the first ten, none of them "
            f"{100 * found['0']:.1f} %"
        )
        if values[0] >= goal:
            return (
                f"{code}: {said}: without a caption of its own it has {100 * values[0] / found[ALL]:.0f} % of what "
                "all give."
            )
        about, near = (
            interpolate_shots(values, goal),
            max(count for count, value in values.items() if count and count < self.there[code]),
        )
        bought = 100 * (values[near] - values[0]) / (found[ALL] - values[0])
        return (
            f"{code}: {said}; about {about} give {100 * ENOUGH:.0f} % of that (interpolated), and {near} bring "
            f"{bought:.0f} % of the gain."
        )


def interpolate_shots(values: dict[int, float], goal: float) -> int:
    """Return how many shots first reach `goal`, interpolated between measured counts on a logarithmic scale.

    Example:
        0 at 0 shots and 1 at 3 reach 0.5 at 1, since log2(1 + 1) is half of log2(1 + 3).

    """
    before = 0
    for count, value in sorted(values.items()):
        if value >= goal:
            low = values[before]
            share = 1.0 if value == low else (goal - low) / (value - low)
            return round(2 ** ((1 - share) * math.log2(before + 1) + share * math.log2(count + 1)) - 1)
        before = count
    return before


def compute_retention(records: list[Record]) -> Estimate:
    """Compute recall of the languages that were trained before."""
    return compute_recall_over_seeds(records, list_previous_languages(records))


def list_previous_languages(records: list[Record]) -> list[str]:
    """List the codes of the languages that were trained before."""
    cell = records[0]["cell"]
    return [code for code in cell["languages"] if code not in cell["few"]["new"]]
