"""The curves of `polyclip fewshot`: a table, a plot, and how many captions give most of what all of them give."""

import math
from dataclasses import dataclass
from typing import Any

from polyclip.studies.figures import Figure, Record, recall_over_seeds
from polyclip.studies.runner import Results
from polyclip.studies.sheet import Sheet

HUMANS, MACHINES = "human", "machine"
ALL = "all"
ENOUGH = 0.9  # of what all give


@dataclass(frozen=True)
class Curves:
    """What is drawn of which languages; offers what a study does."""

    languages: tuple[str, ...]
    counts: tuple[int, ...]
    kinds: tuple[str, ...]
    there: dict[str, int]  # named training pictures of each language

    CLAIM = "How many captions of a new language are worth how much, on top of a run that does not know it."

    def records(self, results: Results, code: str, kind: str) -> dict[str, list[Record]]:
        """By number of shots, in order; of people's captions also all."""
        wanted = dict.fromkeys(["0", *map(str, sorted(self.counts)), ALL])
        return {
            name: results.records[f"{code} {kind}", name]
            for name in wanted
            if (f"{code} {kind}", name) in results.records
        }

    def points(self, results: Results) -> dict[str, dict[str, dict[str, dict[str, float]]]]:
        """Recall@10 by language, who wrote the captions, and number of shots: value, low and high in [0, 1]."""
        return {
            code: {
                kind: {
                    name: {key: getattr(recall_over_seeds(found, [code]), key) for key in ("value", "low", "high")}
                    for name, found in self.records(results, code, kind).items()
                }
                for kind in self.kinds
            }
            for code in self.languages
        }

    def table(self, results: Results) -> Sheet:
        """One row a number of shots; the first is the run itself, the last all that people wrote."""
        rows = [row for code in self.languages for row in self.rows(results, code)]
        seeds = results.setting.seeds
        return Sheet(
            "recall over shots",
            ("shots", *self.kinds, "of all, %", "kept"),
            rows,
            f"text to image recall@10 on test concepts, percent [95 % over concept groups and seeds], mean of {seeds} seed{'s' if seeds > 1 else ''}; "
            "shots: named pictures of the language, of people's captions or of a machine's; 0: the run that knows none; of all: share of what all human "
            "captions give; kept: the same recall of the languages trained before",
        )

    def rows(self, results: Results, code: str) -> list[tuple[str, ...]]:
        """Of one language."""
        found = {kind: self.records(results, code, kind) for kind in self.kinds}
        whole = recall_over_seeds(found[HUMANS][ALL], [code]).value
        rows = []
        for name, records in found[HUMANS].items():
            cells = [
                recall_over_seeds(found[kind][name], [code]).percent() if name in found[kind] else "-"
                for kind in self.kinds
            ]
            share = recall_over_seeds(records, [code]).value / whole if whole else math.nan
            label = f"{code} {name}" + (f" ({self.there[code]})" if name == ALL else "")
            rows.append((label, *cells, f"{100 * share:.0f}", kept(records).percent()))
        return rows

    def plot(self, results: Results, axes: Any) -> None:
        """One line a language and source, over shots on a logarithmic scale; what all give and what none give as levels."""
        styles = {HUMANS: ("o", "-"), MACHINES: ("s", "--")}
        for number, code in enumerate(self.languages):
            for kind in self.kinds:
                records = self.records(results, code, kind)
                found = {name: recall_over_seeds(cells, [code]) for name, cells in records.items()}
                marker, line = styles[kind]
                drawn = {
                    place(name) + 0.08 * (len(self.kinds) * number + self.kinds.index(kind)): figure
                    for name, figure in found.items()
                    if name != ALL
                }
                values = [100 * figure.value for figure in drawn.values()]
                error = [
                    [100 * (f.value - f.low) for f in drawn.values()],
                    [100 * (f.high - f.value) for f in drawn.values()],
                ]
                label = f"{code}, {kind} captions"
                axes.errorbar(
                    list(drawn),
                    values,
                    yerr=error,
                    marker=marker,
                    linestyle=line,
                    capsize=2,
                    label=label,
                    color=f"C{number % 10}",
                )
                if kind == HUMANS:
                    level(axes, found[ALL], f"{code}, all {self.there[code]}", "-.", f"C{number % 10}")
                    level(axes, found["0"], f"{code}, {', '.join(old(records['0']))} only", ":", f"C{number % 10}")
        names = ["0", *(str(count) for count in sorted(self.counts) if count)]
        axes.set_xticks([place(name) for name in names], names)
        axes.set(xlabel="named pictures of the language", ylabel="text to image recall@10, %")
        axes.legend(loc="lower right", fontsize=7)

    def verdict(self, results: Results) -> str:
        """One sentence a language: how many captions give 90 % of what all give."""
        return " ".join(self.sentence(results, code) for code in self.languages)

    def sentence(self, results: Results, code: str) -> str:
        """`sw: about 210 human captions give 90 % of ...`."""
        found = {
            name: recall_over_seeds(records, [code]).value
            for name, records in self.records(results, code, HUMANS).items()
        }
        values = {int(name): value for name, value in found.items() if name != ALL} | {self.there[code]: found[ALL]}
        goal = ENOUGH * found[ALL]
        said = f"all {self.there[code]} named pictures find {100 * found[ALL]:.1f} % among the first ten, none of them {100 * found['0']:.1f} %"
        if values[0] >= goal:
            return f"{code}: {said}: without a caption of its own it has {100 * values[0] / found[ALL]:.0f} % of what all give."
        about, near = (
            reaching(values, goal),
            max(count for count, value in values.items() if count and count < self.there[code]),
        )
        bought = 100 * (values[near] - values[0]) / (found[ALL] - values[0])
        return f"{code}: {said}; about {about} give {100 * ENOUGH:.0f} % of that (interpolated), and {near} bring {bought:.0f} % of the gain."


def reaching(values: dict[int, float], goal: float) -> int:
    """How many shots first reach `goal`, between two counts that were measured in proportion to the logarithm.

    By hand: 0 at 0 shots and 1 at 3 reach 0.5 at 1, since log2(1 + 1) is half of log2(1 + 3).
    """
    before = 0
    for count, value in sorted(values.items()):
        if value >= goal:
            low = values[before]
            share = 1.0 if value == low else (goal - low) / (value - low)
            return round(2 ** ((1 - share) * math.log2(before + 1) + share * math.log2(count + 1)) - 1)
        before = count
    return before


def place(name: str) -> float:
    """On the axis: log2 of one more than the shots."""
    return math.log2(int(name) + 1) if name != ALL else math.nan


def level(axes: Any, figure: Figure, label: str, line: str, colour: str) -> None:
    """A horizontal line with its interval."""
    axes.axhline(100 * figure.value, linestyle=line, linewidth=1, color=colour, label=label)
    axes.axhspan(100 * figure.low, 100 * figure.high, alpha=0.06, color=colour)


def kept(records: list[Record]) -> Figure:
    """Recall of the languages that were trained before."""
    return recall_over_seeds(records, old(records))


def old(records: list[Record]) -> list[str]:
    """Their codes."""
    cell = records[0]["cell"]
    return [code for code in cell["languages"] if code not in cell["few"]["new"]]
