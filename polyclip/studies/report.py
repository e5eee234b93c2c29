"""Conduct a study: cells, then one table, one plot, one JSON file."""

import json
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from polyclip.core.registry import find
from polyclip.core.storage import write_text, writing
from polyclip.errors import PolyclipError
from polyclip.studies.runner import Results, Setting, complete
from polyclip.studies.sheet import Sheet

BULKY = ("ranks", "groups", "log")  # of a record: they stay in its cell


@dataclass(frozen=True)
class Report:
    """What a study comes to."""

    sheet: Sheet
    verdict: str
    files: list[Path]


def conduct(name: str, setting: Setting) -> Report:
    """Run what is missing of a study and report.

    Raises UnknownName for a study that does not exist, PolyclipError without matplotlib.
    """
    study = find("study", name)
    drawable()
    return written(name, study, complete(study.plan(setting), setting), {})


def drawable() -> None:
    """Raises PolyclipError without matplotlib."""
    if find_spec("matplotlib") is None:
        raise PolyclipError(
            "Studies draw plots with matplotlib, which is not installed: pip install 'polyclip[starter,study]'."
        )


def written(name: str, study: Any, results: Results, more: dict[str, Any]) -> Report:
    """Table, plot and JSON of what offers `CLAIM`, `table`, `plot` and `verdict`; `more` goes into the JSON as well."""
    sheet: Sheet = study.table(results)
    verdict: str = study.verdict(results)
    files = [results.setting.folder / f"{name}.{kind}" for kind in ("json", "md", "png")]
    found = summary(name, study.CLAIM, results, sheet, verdict) | more
    write_text(files[0], json.dumps(found, ensure_ascii=False, indent=1) + "\n", what="the study's figures")
    write_text(
        files[1], f"## {name}\n\n{study.CLAIM}\n\n**{verdict}**\n\n{sheet.markdown()}\n", what="the study's table"
    )
    draw(study, results, sheet.title, files[2])
    return Report(sheet, verdict, files)


def summary(name: str, claim: str, results: Results, sheet: Sheet, verdict: str) -> dict[str, Any]:
    """Everything but ranks, which stay in the cells."""
    setting = {
        key: value for key, value in asdict(results.setting).items() if key not in ("folder", "jobs")
    }  # what decides the figures
    return {
        "schema": 1,
        "study": name,
        "claim": claim,
        "verdict": verdict,
        "setting": setting,
        "columns": sheet.columns,
        "rows": sheet.rows,
        "caption": sheet.caption,
        "chosen": [
            {"method": m, "condition": c, "rate": rate, "trials": results.trials.get((m, c), {})}
            for (m, c), rate in results.chosen.items()
        ],
        "cells": [
            {k: v for k, v in record.items() if k not in BULKY}
            for records in results.records.values()
            for record in records
        ],
    }


def draw(study: Any, results: Results, title: str, path: Path) -> None:
    """The plot, by matplotlib without a window."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained", dpi=120)
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    study.plot(results, axes)
    axes.set_title(title)
    axes.grid(alpha=0.25)
    with writing(path, what="the study's plot") as temporary:
        figure.savefig(temporary, format="png")
