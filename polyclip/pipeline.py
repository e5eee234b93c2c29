"""The pipeline on one page: `align` and `evaluate`."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from polyclip.core import distributed
from polyclip.core.progress import console
from polyclip.core.registry import find
from polyclip.core.run_folder import read_run
from polyclip.core.storage import write_text
from polyclip.core.timing import Clock
from polyclip.data.corpus import load_corpus
from polyclip.evaluation.forgetting import knowledge
from polyclip.evaluation.held_out import named_rows
from polyclip.evaluation.leakage.compare import told
from polyclip.evaluation.provenance import origin
from polyclip.evaluation.results import Choice, Result
from polyclip.evaluation.retrieval import Request
from polyclip.export.support import limits
from polyclip.models.aligner import PolyCLIP, load_model
from polyclip.report.model_card import write_card
from polyclip.report.result import write_result
from polyclip.report.run_facts import read_facts
from polyclip.training import checkpoint
from polyclip.training.auto.budget import Budget
from polyclip.training.auto.search import finish, search
from polyclip.training.config import AlignConfig, settings_of
from polyclip.training.finetune import changes
from polyclip.training.prepare import keep, prepared, trained
from polyclip.training.scoring_plan import codes, reported, scored_marks
from polyclip.training.trackers import tracking


def align(run: AlignConfig) -> Result:
    """Fit one aligner and score it on held-out concepts; writes only below `run.out` and the cache folder.

    Raises RunError for a folder that holds another or an unfinished run, DataError where the test split is not unseen, and whatever
    packs, towers and readers raise.
    """
    clock = Clock()
    work = prepared(run)
    tell_exports(work.aligner)
    clock.lap("encode")
    with tracking(run.track, run.out, settings_of(run)) as observe:
        keep(work, trained(replace(work, observe=observe)))
    clock.lap("train")
    return scored(run, work.aligner, clock, work.leaked)


def align_within(run: AlignConfig, budget: Budget) -> tuple[Result, Choice]:
    """As `align`, with the method that a search within a budget of time chooses on validation; the test split is read once, for the winner.

    Raises what `search` and `align` raise.
    """
    clock = Clock(started=budget.started)
    found = search(run, budget, clock)
    result = scored(replace(run, out=found.folder), load_model(found.folder), clock, found.leaked)
    best = found.best
    choice = finish(found)
    with tracking(run.track, run.out, best.settings) as observe:  # the chosen run's curves, once it is known
        for line in read_facts(run.out).log:
            observe(line)
    return result, choice


def tell_exports(aligner: PolyCLIP) -> None:
    """Say before training where the run will not be able to go, and what would."""
    limit = limits(aligner.method, aligner.recipe.vision_tower)
    if limit:
        console.print(limit, highlight=False, soft_wrap=True)


def scored(run: AlignConfig, aligner: PolyCLIP, clock: "Clock", leaked: dict[str, Any] | None) -> Result:
    """Score a trained aligner on the test split and write the run's result, with what that split shares with the training data."""
    corpus = load_corpus(run.corpus)
    request = Request(languages=reported(run, corpus), trained=codes(run.languages), corpus=run.corpus)
    report = find("benchmarks", "held-out").score(aligner.eval(), request)
    rows = named_rows(corpus, request)[0]
    before = run.continued
    kept = (
        knowledge(aligner, corpus, rows, request.trained, request.split)
        if before is None
        else changes(before, aligner, corpus, rows, request.split)
    )
    clock.lap("evaluate")
    facts = origin(aligner, run.heads.seed, report)
    facts |= {} if leaked is None else {"notes": [*facts["notes"], *told(leaked)], "leakage": leaked}
    result = Result(read_run(run.out), model_facts(aligner), clock.laps, report.scores, facts, kept)
    if distributed.first():
        write_result(run.out / "result.json", result)
        write_card(run.out)
        for mark in scored_marks(run, aligner).values():
            write_text(mark, "", what="a note that test features are in the cache")
        checkpoint.remove(run.out)
    return result


def evaluate(benchmark: str, folder: Path, request: Request) -> Result:
    """Score the aligner of a run folder on a benchmark.

    Raises UnknownName for a benchmark that does not exist, and whatever `load_model` and the benchmark raise.
    """
    module = find("benchmarks", benchmark)
    clock = Clock()
    aligner = load_model(folder)
    facts = read_run(folder)
    clock.lap("load")
    report = module.score(aligner, Request(**{**request.__dict__, "trained": frozenset(facts["languages"])}))
    clock.lap("evaluate")
    laps = {"encode": 0.0, "train": 0.0, **clock.laps}
    return Result(facts, model_facts(aligner), laps, report.scores, origin(aligner, facts["heads"]["seed"], report))


def model_facts(aligner: PolyCLIP) -> dict[str, Any]:
    """The `model` part of a result."""
    named = ("method", "tune", "text_encoder", "vision_tower", "dim")
    return {name: getattr(aligner.recipe, name) for name in named} | aligner.counts()
