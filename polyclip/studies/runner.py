"""Runs the cells that are missing, several at a time, each in a process of its own; chooses learning rates on validation."""

import multiprocessing
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any

import torch

from polyclip.core.progress import Progress
from polyclip.data.corpus import load_corpus
from polyclip.errors import RunError
from polyclip.evaluation.leakage.compare import unseen
from polyclip.languages.schema import load_language
from polyclip.studies.cells import Cell, begun, read, work_on

Record = dict[str, Any]
IMPORTED = [
    "polyclip.studies.cells",
    "transformers.models.bert.modeling_bert",
    "timm",
    "torch._dynamo",
]  # by every cell


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What the user asked for."""

    languages: tuple[str, ...]  # trained
    seeds: int
    quick: bool
    folder: Path
    jobs: int
    tower: str
    text_encoder: str = "e5-small"
    corpus: str = "emoji"
    asked: tuple[str, ...]  # never trained, but scored
    methods: tuple[str, ...] = ()  # of the study's, those that were asked for; empty: all


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One row of a study: a method under one condition, with the learning rates that are tried for it."""

    label: str
    condition: str  # such as a share of the data; empty where there is only one
    cell: Cell  # seed 0, rate open
    rates: tuple[float, ...]
    tuned_on: str = ""  # condition whose trials decide for this one too; empty: its own


@dataclass(frozen=True)
class Results:
    """Records of every variant, one for each seed, and the rate that was chosen for it."""

    setting: Setting
    records: dict[tuple[str, str], list[Record]] = field(default_factory=dict)
    chosen: dict[tuple[str, str], float] = field(default_factory=dict)
    trials: dict[tuple[str, str], dict[float, float]] = field(default_factory=dict)  # rate -> validation

    def labels(self) -> list[str]:
        """Methods in their order."""
        return list(dict.fromkeys(label for label, _ in self.records))

    def conditions(self) -> list[str]:
        """Conditions in their order."""
        return list(dict.fromkeys(condition for _, condition in self.records))


def complete(variants: Sequence[Variant], setting: Setting) -> Results:
    """Trials with seed 0 first, then the chosen rate with every seed; what is on disk already is not run again.

    Raises DataError where the test split shares something with the training split.
    """
    unseen(load_corpus(setting.corpus), [load_language(code) for code in setting.languages])
    prepare(beginnings(variants, setting), setting)
    tuned = [variant for variant in variants if not variant.tuned_on]
    trial_cells = [replace(v.cell, rate=rate, seed=0) for v in tuned for rate in v.rates]
    run_all([(cell, False) for cell in trial_cells], setting, "trials")
    results = Results(setting)
    for variant in tuned:
        values = {
            rate: record(replace(variant.cell, rate=rate, seed=0), setting)["validation"] for rate in variant.rates
        }
        results.trials[variant.label, variant.condition] = values
        results.chosen[variant.label, variant.condition] = max(values, key=lambda rate: values[rate])
    for variant in variants:
        if variant.tuned_on:
            results.chosen[variant.label, variant.condition] = results.chosen[variant.label, variant.tuned_on]
    cells = {(v.label, v.condition): seeds(v, results.chosen[v.label, v.condition], setting) for v in variants}
    run_all([(cell, True) for found in cells.values() for cell in found], setting, "cells")
    results.records.update({key: [record(cell, setting) for cell in found] for key, found in cells.items()})
    return results


def beginnings(variants: Sequence[Variant], setting: Setting) -> list[Cell]:
    """What the cells of these variants go on from where that is no run of the user's, each once."""
    further = [
        cell
        for v in variants
        if v.cell.few is not None and not v.cell.few.start
        for cell in seeds(v, v.rates[0], setting)
    ]
    return list({found.name: found for found in map(begun, further)}.values())


def seeds(variant: Variant, rate: float, setting: Setting) -> list[Cell]:
    """The chosen cell with every seed."""
    return [replace(variant.cell, rate=rate, seed=seed) for seed in range(setting.seeds)]


def record(cell: Cell, setting: Setting) -> Record:
    """What is kept of a cell that has been run."""
    found = read(path_of(cell, setting))
    if found is None:
        raise RunError(f"Cell {cell.name} of the study is missing in {setting.folder}; run the same command again.")
    return found


def path_of(cell: Cell, setting: Setting) -> Path:
    """Where a cell is kept."""
    return setting.folder / "cells" / f"{cell.name}.json"


def missing(cells: Iterable[tuple[Cell, bool]], setting: Setting) -> list[tuple[Cell, bool]]:
    """Cells without a record, or without the scores that are asked for; each once."""
    found: dict[str, tuple[Cell, bool]] = {}
    for cell, scored in cells:
        kept = read(path_of(cell, setting))
        if kept is None or (scored and "ranks" not in kept):
            found[cell.name] = (cell, scored)
    return list(found.values())


def run_all(cells: Iterable[tuple[Cell, bool]], setting: Setting, what: str) -> None:
    """Run what is missing. One process a cell, so that its peak memory is its own; interrupted, finished cells stay."""
    todo = missing(cells, setting)
    threads = max(1, torch.get_num_threads() // setting.jobs)  # fewer than cores where OMP_NUM_THREADS says so
    os.environ["OMP_NUM_THREADS"] = str(threads)
    with (
        Progress(f"study: {what}", len(todo)) as progress,
        ProcessPoolExecutor(setting.jobs, mp_context=processes(), max_tasks_per_child=1) as pool,
    ):
        running: dict[Future[None], Cell] = {
            pool.submit(work_on, cell, setting.folder, scored, threads): cell for cell, scored in todo
        }
        try:
            for done in as_completed(running):
                done.result()
                progress.note = running[done].name
                progress.advance(1)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def processes() -> BaseContext:
    """Where the system can fork, from a server that has imported everything once: that takes longer than many a cell."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(IMPORTED)
    return context


def prepare(starts: Sequence[Cell], setting: Setting) -> None:
    """Train what the others go on from, where its weights are not there."""
    for cell in starts:
        if not (setting.folder / "runs" / cell.name / "aligner.safetensors").exists():
            path_of(cell, setting).unlink(missing_ok=True)
    run_all([(cell, False) for cell in starts], setting, "English alone")
