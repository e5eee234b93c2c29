"""Run a study and write one table, one plot and one JSON file."""

import json
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from polyclip.core.durations import format_duration
from polyclip.core.registry import find
from polyclip.core.storage import write_text
from polyclip.errors import PolyclipError
from polyclip.report.plot import open_plot
from polyclip.studies.runner import Results, Setting, collect_finished, run_variants
from polyclip.studies.sheet import Sheet
from polyclip.studies.traces import collect_traces

BULKY = ("ranks", "groups", "known", "log", "photographs")  # parts of a record that stay in its cell


@dataclass(frozen=True)
class StudyReport:
    """Table, verdict and files of a study."""

    sheet: Sheet
    verdict: str
    files: list[Path]


def run_study(name: str, setting: Setting, *, finished_only: bool = False) -> StudyReport:
    """Run what is missing of a study and write its report.

    Args:
        name: Name of a module in polyclip/studies/questions.
        setting: Languages, seeds, corpus, encoders and folder.
        finished_only: Run nothing, and report the cells that are finished.

    Returns:
        Table, verdict and files.

    Raises:
        UnknownName: The study does not exist.
        PolyclipError: matplotlib is missing, or no cell is finished.

    """
    study = find("study", name)
    check_matplotlib()
    variants = study.plan(setting)
    results = collect_finished(variants, setting) if finished_only else run_variants(variants, setting)
    if not results.records:
        raise PolyclipError(
            f"--finished: {setting.folder} has no scored cell of {name} yet; run the command without it first."
        )
    curves = collect_traces(results)
    return write_report(name, study, results, {"curves": curves} if curves else {})


def describe_plan(name: str, setting: Setting) -> str:
    """Say how many cells a study has, how many are finished, and how long the others take.

    Args:
        name: Name of a module in polyclip/studies/questions.
        setting: Languages, seeds, corpus, encoders and folder.

    Returns:
        One sentence or two.

    Raises:
        UnknownName: The study does not exist.

    """
    variants = find("study", name).plan(setting)
    finished = [record for found in collect_finished(variants, setting).records.values() for record in found]
    trials = sum(len(variant.rates) - 1 for variant in variants if not variant.tuned_on)
    cells = len(variants) * setting.seeds
    seeds = f"{setting.seeds} seed{'s' if setting.seeds > 1 else ''}"
    said = f"{name}: {len(variants)} conditions x {seeds} = {cells} cells, {len(finished)} finished"
    said += f"; {trials} more trials of learning rates." if trials else "."
    if not finished:
        return f"{said} How long a cell takes is known once one is finished."
    each = sum(record["processor_seconds"] for record in finished) / len(finished)
    if len(finished) == cells:
        return said
    left = format_duration(each * (cells - len(finished)))
    return f"{said} A cell trains for {each:.0f} s of one core on average: {left} left, and seconds to score each."


def check_matplotlib() -> None:
    """Check that matplotlib is installed.

    Raises:
        PolyclipError: It is missing.

    """
    if find_spec("matplotlib") is None:
        raise PolyclipError(
            "Studies draw plots with matplotlib, which is not installed: pip install 'polyclip[starter,study]'."
        )


def write_report(name: str, study: Any, results: Results, more: dict[str, Any]) -> StudyReport:
    """Write table, plot and JSON of a study.

    Args:
        name: Stem of the file names.
        study: Offers `CLAIM`, `table`, `plot` and `verdict`.
        results: All records.
        more: Further keys of the JSON.

    Returns:
        Table, verdict and files.

    """
    sheet: Sheet = study.table(results)
    verdict: str = study.verdict(results)
    files = [results.setting.folder / f"{name}.{kind}" for kind in ("json", "md", "png")]
    found = summarize(name, study.CLAIM, results, sheet, verdict) | more
    write_text(files[0], json.dumps(found, ensure_ascii=False, indent=1) + "\n", what="the study's figures")
    write_text(
        files[1], f"## {name}\n\n{study.CLAIM}\n\n**{verdict}**\n\n{sheet.to_markdown()}\n", what="the study's table"
    )
    draw_plot(study, results, sheet.title, files[2])
    return StudyReport(sheet, verdict, files)


def summarize(name: str, claim: str, results: Results, sheet: Sheet, verdict: str) -> dict[str, Any]:
    """Collect everything for the JSON except ranks, which stay in the cells."""
    setting = {
        key: value for key, value in asdict(results.setting).items() if key not in ("folder", "jobs", "photographs")
    }  # everything that affects the results
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


def draw_plot(study: Any, results: Results, title: str, path: Path) -> None:
    """Draw the plot and write it as a PNG."""
    with open_plot(path, 8.6, 4.8, what="the study's plot") as figure:
        axes = figure.subplots()
        axes.set_title(title)
        study.plot(results, axes)
