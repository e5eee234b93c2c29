"""Redraw the plots of the documentation from the figures beside them, without training anything.

python scripts/redraw_plots.py

Ends of intervals are taken from the tables, where they are rounded to whole percent. `budget.png` is not redrawn: its
learning curves are not kept; `polyclip study budget` draws it.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from polyclip.report.plot import open_plot
from polyclip.studies import drawing
from polyclip.studies.figures import Estimate
from polyclip.studies.questions.equity import AIM
from speed import growth, hotspots, scale

EXPLANATION = Path(__file__).parents[1] / "docs" / "explanation"
STUDIES = EXPLANATION / "studies"
ESTIMATE = re.compile(r"([+-]?[\d.]+) \[([+-]?[\d.]+), ([+-]?[\d.]+)\]")
RENAMED = {  # words of older figures
    "token table": "token embeddings",
    "optimiser": "optimizer",
    "encoding pictures (WebP)": "encoding images (WebP)",
    "lilt-ln in the text tower, a step": "lilt-ln in the text encoder, a step",
    "full, the text tower, a step": "full, the text encoder, a step",
}
TITLES = {
    "claims": "claims 1 and 2: recall against what is trained",
    "forgetting": "claim 5: what the encoders forget",
    "model-size": "claim 3: recall over the size of the vision encoder",
    "data": "claim 4: recall over the size of the data",
    "low-resource": "recall over pairs of five low-resource languages",
    "equity": "each language by its own recipe",
    "sources": "recall by where captions come from",
    "effort": "what helps a community most",
    "fewshot": "recall over shots",
    "fewshot-es": "recall over shots",
    "convergence": "trained until validation rises no more",
}
CONDITIONS = {
    "model-size": "vision encoder",
    "data": "share of the training concepts",
    "low-resource": "named images of each language",
}


def load(name: str) -> dict[str, Any]:
    """Read the figures of a study."""
    found: dict[str, Any] = json.loads((STUDIES / f"{name}.json").read_text("utf-8"))
    return found


def parse_estimate(text: str, factor: float = 0.01) -> Estimate:
    """Parse a cell of a table such as `36.2 [32, 40]`."""
    found = ESTIMATE.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is not a value with its interval, such as '36.2 [32, 40]'.")
    return Estimate(*(factor * float(part) for part in found.groups()))


def parse_rows(found: dict[str, Any]) -> tuple[list[str], dict[str, dict[str, Estimate]]]:
    """Parse a table whose inner columns are conditions: the conditions, and the estimates by row and condition."""
    conditions = found["columns"][1:-1]
    rows = {}
    for name, *cells, _ in found["rows"]:
        there = zip(conditions, cells, strict=True)
        rows[name] = {condition: parse_estimate(cell) for condition, cell in there if cell != "-"}
    return conditions, rows


def redraw_table(name: str, axes: Any) -> None:
    """Draw a table whose columns are conditions: the methods, without rows of single languages or ratios."""
    conditions, rows = parse_rows(load(name))
    lines = {method: found for method, found in rows.items() if " · " not in method and ", of " not in method}
    drawing.draw_lines(axes, conditions, lines, CONDITIONS[name])


def redraw_claims(name: str, axes: Any) -> None:
    """Draw recall over the share of trained parameters."""
    rows = load(name)["rows"]
    points = [(row[0], float(row[2]), parse_estimate(row[3]), parse_estimate(row[5])) for row in rows]
    drawing.draw_against_share(axes, points)


def redraw_forgetting(name: str, axes: Any) -> None:
    """Draw the change of both encoders."""
    points = [(row[0], float(row[3]), parse_estimate(row[1], 1).value) for row in load(name)["rows"]]
    drawing.draw_change(axes, points)


def redraw_equity(name: str, axes: Any) -> None:
    """Draw the ratio to English."""
    drawing.draw_ratios(axes, [(row[0].split()[0], parse_estimate(row[3], 1)) for row in load(name)["rows"]], AIM)


def redraw_sources(name: str, axes: Any) -> None:
    """Draw bars by where captions come from."""
    conditions, rows = parse_rows(load(name))
    drawing.draw_bars(axes, rows, conditions)


def redraw_effort(name: str, axes: Any) -> None:
    """Draw recall over captions by language and kind of help."""
    curves: dict[str, dict[str, dict[str, Estimate]]] = {}
    for label, found in parse_rows(load(name))[1].items():
        code, kind = label.split(" · ")
        if found:
            curves.setdefault(code, {})[kind] = found
    drawing.draw_effort(axes, curves)


def redraw_shots(name: str, axes: Any) -> None:
    """Draw curves over shots."""
    curves = {
        code: {kind: {shots: Estimate(**point) for shots, point in points.items()} for kind, points in kinds.items()}
        for code, kinds in load(name)["curves"].items()
    }
    shots = sorted(
        {shots for kinds in curves.values() for points in kinds.values() for shots in points} - {"all"}, key=int
    )
    levels = [(f"{code}, all captions", own["human"]["all"], own["human"]["0"]) for code, own in curves.items()]
    drawing.draw_shots(axes, curves, shots, levels)


def redraw_convergence(name: str, axes: Any) -> None:
    """Draw validation over processor seconds and joules."""
    drawing.draw_traces(axes, load(name)["curves"])


def main(out: Path = EXPLANATION) -> None:
    """Redraw everything below a folder."""
    own: dict[str, Callable[[str, Any], None]] = {
        "claims": redraw_claims,
        "forgetting": redraw_forgetting,
        "equity": redraw_equity,
        "sources": redraw_sources,
        "effort": redraw_effort,
        "fewshot": redraw_shots,
        "fewshot-es": redraw_shots,
        "convergence": redraw_convergence,
    }
    for name, title in TITLES.items():
        with open_plot(out / "studies" / f"{name}.png", 8.6, 4.8, what="a plot of the documentation") as figure:
            axes = figure.subplots()
            axes.set_title(title)
            own.get(name, redraw_table)(name, axes)
    shares = json.loads((EXPLANATION / "performance.json").read_text("utf-8"))["shares"]
    named = {
        RENAMED.get(work, work): {RENAMED.get(kind, kind): part for kind, part in one.items()}
        for work, one in shares.items()
    }
    hotspots.draw_bars(named, out / "performance.png")
    stored = json.loads((EXPLANATION / "speed" / "growth.json").read_text("utf-8"))
    growth.draw_plot(stored, out / "speed" / "growth.png")
    stored = json.loads((EXPLANATION / "speed" / "scale.json").read_text("utf-8"))
    scale.draw_plot(stored, out / "speed" / "scale.png")


if __name__ == "__main__":
    main()
