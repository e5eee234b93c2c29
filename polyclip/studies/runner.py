"""Run missing cells in parallel, each in its own process, and choose learning rates on the validation split."""

import multiprocessing
import os
import shutil
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any

import torch

from polyclip.core.progress import Progress
from polyclip.data.corpus import load_corpus
from polyclip.errors import RunError
from polyclip.evaluation.leakage.compare import check_leakage
from polyclip.languages.schema import load_language
from polyclip.studies.cell_scores import read_photographs
from polyclip.studies.cells import Cell, list_scores, make_starting_cell, read_record, run_cell

Record = dict[str, Any]
IMPORTED = [
    "polyclip.studies.cells",
    "transformers.models.bert.modeling_bert",
    "timm",
    "torch._dynamo",
]  # imported by every cell


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Options of a study that all its cells share."""

    languages: tuple[str, ...]  # trained
    seeds: int
    quick: bool
    folder: Path
    jobs: int
    tower: str
    text_encoder: str = "e5-small"
    corpus: str = "emoji"
    asked: tuple[str, ...]  # unseen languages that are scored
    methods: tuple[str, ...] = ()  # requested ones of the study's methods; empty: all
    batch: int = 256  # of `convergence`, and the steps that it allows
    steps: int = 1000
    photographs: Path | None = None  # folder of Tux Paint's stamps, which scored cells are then asked for too


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One row of a study: a method under one condition, and the learning rates to try."""

    label: str
    condition: str  # such as a share of the data; empty where there is only one condition
    cell: Cell  # with seed 0; its rate is replaced
    rates: tuple[float, ...]
    tuned_on: str = ""  # condition whose trials choose the rate; empty: its own


@dataclass(frozen=True)
class Results:
    """Records of every variant, one per seed, and the chosen learning rates."""

    setting: Setting
    records: dict[tuple[str, str], list[Record]] = field(default_factory=dict)
    chosen: dict[tuple[str, str], float] = field(default_factory=dict)
    trials: dict[tuple[str, str], dict[float, float]] = field(default_factory=dict)  # rate -> validation

    def list_labels(self) -> list[str]:
        """List the methods in order."""
        return list(dict.fromkeys(label for label, _ in self.records))

    def list_conditions(self) -> list[str]:
        """List the conditions in order."""
        return list(dict.fromkeys(condition for _, condition in self.records))


def run_variants(variants: Sequence[Variant], setting: Setting) -> Results:
    """Run the trials with seed 0, then the chosen learning rate with every seed; finished cells are not run again.

    Args:
        variants: Rows of the study.
        setting: Options of the study.

    Returns:
        All records and chosen rates.

    Raises:
        DataError: The training and test split overlap, or the folder of photographs has none.

    """
    check_leakage(load_corpus(setting.corpus), [load_language(code) for code in setting.languages])
    if setting.photographs is not None:
        read_photographs(setting.photographs)  # a wrong folder is told before anything is trained
    train_starting_cells(find_starting_cells(variants, setting), setting)
    tuned = [variant for variant in variants if not variant.tuned_on]
    trial_cells = [replace(v.cell, rate=rate, seed=0) for v in tuned for rate in v.rates]
    run_all([(cell, False) for cell in trial_cells], setting, "trials")
    results = Results(setting)
    for variant in tuned:
        values = {
            rate: load_record(replace(variant.cell, rate=rate, seed=0), setting)["validation"] for rate in variant.rates
        }
        results.trials[variant.label, variant.condition] = values
        results.chosen[variant.label, variant.condition] = max(values, key=lambda rate: values[rate])
    for variant in variants:
        if variant.tuned_on:
            results.chosen[variant.label, variant.condition] = results.chosen[variant.label, variant.tuned_on]
    drop_weights(trial_cells, {replace(v.cell, rate=results.chosen[v.label, v.condition]).name for v in tuned}, setting)
    cells = {(v.label, v.condition): expand_seeds(v, results.chosen[v.label, v.condition], setting) for v in variants}
    run_all([(cell, True) for found in cells.values() for cell in found], setting, "cells")
    results.records.update({key: [load_record(cell, setting) for cell in found] for key, found in cells.items()})
    return results


def drop_weights(trials: Sequence[Cell], kept: Collection[str], setting: Setting) -> None:
    """Delete the weights of trials whose learning rate was not chosen: those of whole encoders fill a disk."""
    for cell in trials:
        if cell.name not in kept:
            shutil.rmtree(setting.folder / "runs" / cell.name, ignore_errors=True)


def collect_finished(variants: Sequence[Variant], setting: Setting) -> Results:
    """Collect the finished cells of a study that is under way, without running any.

    Args:
        variants: Rows of the study.
        setting: Options of the study.

    Returns:
        For each variant the trials that are done, the best rate among them, and that rate's scored seeds; variants
        without a scored seed have no records.

    """
    results = Results(setting)
    for variant in sorted(variants, key=lambda variant: bool(variant.tuned_on)):
        key = variant.label, variant.condition
        found = {
            rate: read_record(record_path(replace(variant.cell, rate=rate, seed=0), setting)) for rate in variant.rates
        }
        done = {rate: record["validation"] for rate, record in found.items() if record is not None}
        if variant.tuned_on:
            rate = results.chosen.get((variant.label, variant.tuned_on))
        else:
            results.trials[key] = done
            rate = max(done, key=lambda rate: done[rate]) if done else None
        if rate is None:
            continue
        results.chosen[key] = rate
        kept = [read_record(record_path(cell, setting)) for cell in expand_seeds(variant, rate, setting)]
        if scored := [record for record in kept if record is not None and "ranks" in record]:
            results.records[key] = scored
    return results


def find_starting_cells(variants: Sequence[Variant], setting: Setting) -> list[Cell]:
    """Return the cells that fine-tuning variants start from, each once."""
    further = [
        cell
        for v in variants
        if v.cell.few is not None and not v.cell.few.start
        for cell in expand_seeds(v, v.rates[0], setting)
    ]
    return list({found.name: found for found in map(make_starting_cell, further)}.values())


def expand_seeds(variant: Variant, rate: float, setting: Setting) -> list[Cell]:
    """Return the cell at the chosen rate with every seed."""
    return [replace(variant.cell, rate=rate, seed=seed) for seed in range(setting.seeds)]


def load_record(cell: Cell, setting: Setting) -> Record:
    """Load the record of a finished cell.

    Raises:
        RunError: There is none.

    """
    found = read_record(record_path(cell, setting))
    if found is None:
        raise RunError(f"Cell {cell.name} of the study is missing in {setting.folder}; run the same command again.")
    return found


def record_path(cell: Cell, setting: Setting) -> Path:
    """Return the path of a cell's record."""
    return setting.folder / "cells" / f"{cell.name}.json"


def find_missing(cells: Iterable[tuple[Cell, bool]], setting: Setting) -> list[tuple[Cell, bool]]:
    """Return cells without a record, or without requested scores, each once."""
    found: dict[str, tuple[Cell, bool]] = {}
    for cell, scored in cells:
        kept = read_record(record_path(cell, setting))
        if kept is None or list_scores(kept, scored, setting.photographs):
            found[cell.name] = (cell, scored)
    return list(found.values())


def run_all(cells: Iterable[tuple[Cell, bool]], setting: Setting, what: str) -> None:
    """Run missing cells, each in its own process so that peak memory is its own; finished ones survive an
    interruption.
    """
    todo = find_missing(cells, setting)
    threads = max(1, torch.get_num_threads() // setting.jobs)  # OMP_NUM_THREADS may be less than the number of cores
    os.environ["OMP_NUM_THREADS"] = str(threads)
    with (
        Progress(f"study: {what}", len(todo)) as progress,
        ProcessPoolExecutor(setting.jobs, mp_context=choose_process_context(), max_tasks_per_child=1) as pool,
    ):
        running: dict[Future[None], Cell] = {
            pool.submit(run_cell, cell, setting.folder, scored, threads, setting.photographs): cell
            for cell, scored in todo
        }
        try:
            for done in as_completed(running):
                done.result()
                progress.note = running[done].name
                progress.advance(1)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def choose_process_context() -> BaseContext:
    """Return a fork server that has imported everything once, where the system can fork: imports take longer than many
    cells.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(IMPORTED)
    return context


def train_starting_cells(starts: Sequence[Cell], setting: Setting) -> None:
    """Train the starting cells whose weights are missing."""
    for cell in starts:
        if not (setting.folder / "runs" / cell.name / "aligner.safetensors").exists():
            record_path(cell, setting).unlink(missing_ok=True)
    run_all([(cell, False) for cell in starts], setting, "English alone")
