"""The pipeline on one page: `align` and `evaluate`."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from polyclip.core import distributed
from polyclip.core.encode_precision import use_encode_precision
from polyclip.core.fields import read_fields
from polyclip.core.matmul import multiply_at_full_rate
from polyclip.core.progress import console
from polyclip.core.randomness import keep_random_state
from polyclip.core.run_folder import as_written, lock_folder, read_settings
from polyclip.core.storage import write_text
from polyclip.core.timing import Clock
from polyclip.data.corpus import load_corpus
from polyclip.errors import PolyclipError, RunError
from polyclip.evaluation.benchmark import find_benchmark
from polyclip.evaluation.forgetting import compute_retention
from polyclip.evaluation.held_out import read_named_rows
from polyclip.evaluation.leakage.compare import describe_leakage
from polyclip.evaluation.per_corpus import split_request
from polyclip.evaluation.pooling import INTERVAL
from polyclip.evaluation.provenance import describe_origin
from polyclip.evaluation.results import Choice, Result
from polyclip.evaluation.retrieval import Request
from polyclip.exporters.support import describe_limits, plan_of
from polyclip.models.aligner import PolyCLIP, load_model
from polyclip.models.feature_cache import keep_encoders
from polyclip.report.model_card import write_card
from polyclip.report.result import write_result
from polyclip.report.run_facts import read_facts
from polyclip.training import checkpoint
from polyclip.training.auto.budget import Budget
from polyclip.training.auto.search import finish, search
from polyclip.training.compute import warn_of_slow_precision
from polyclip.training.config import AlignConfig, collect_settings
from polyclip.training.finetune import measure_retention
from polyclip.training.fold_plan import check_test_split, check_unseen, describe_unlearnt, plan_folds, refuse_folds
from polyclip.training.folds import TrainedFolds, describe_folds, encode_whole, score_folds, train_folds, train_kept
from polyclip.training.preflight import check_before_training, check_training_languages, plan_scoring
from polyclip.training.prepare import prepare_run, save_work, train_run
from polyclip.training.scoring_plan import list_score_markers
from polyclip.training.trackers import Observer, open_trackers


def align(run: AlignConfig) -> Result:
    """Train one model and score it on held-out concepts; writes only below `run.out` and the cache folder.

    Args:
        run: The alignment's configuration.

    Returns:
        Scores, parameter counts, timings and provenance, as in result.json.

    Raises:
        RunError: The folder holds another run, or an unfinished one without --resume.
        DataError: Training data overlap with the test split, or a corpus cannot be read.
        PolyclipError: Whatever else language packs, encoders and readers raise.

    """
    clock = Clock()
    warn_of_slow_precision(run.compute)
    run = plan_folds(run)
    precision = use_encode_precision(run.encode_precision)
    if run.folds != 1:
        with precision:
            check_training_languages(run)
            return align_folds(run, clock)
    check_test_split(run)
    with lock_folder(run.out), keep_random_state(), multiply_at_full_rate(), precision:
        planned = check_before_training(run)
        work = prepare_run(run)
        print_export_limits(work.aligner)
        clock.lap("encode")
        with open_trackers(run.track, run.out, collect_settings(run)) as observe:
            save_work(work, train_run(replace(work, observe=notify_all([observe, *run.observers]))))
        clock.lap("train")
        return score_run(run, collect_settings(run), work.aligner, clock, work.leaked, planned=planned)


def align_folds(run: AlignConfig, clock: Clock) -> Result:
    """Align a small corpus: the scores are those of several folds, the model is trained for the epochs they chose."""
    with lock_folder(run.out), keep_random_state(), multiply_at_full_rate(), encode_whole(run):
        clock.lap("encode")
        folds = train_folds(run)
        with open_trackers(run.track, run.out, collect_settings(run)) as observe:
            work, log = train_kept(run, folds, notify_all([observe, *run.observers]))
        save_work(work, log)
        clock.lap("train")
        return score_run(run, collect_settings(run), work.aligner, clock, None, folds)


def notify_all(observers: Sequence[Observer]) -> Observer:
    """An observer that passes each line of the training log to several."""

    def notify(line: dict[str, Any]) -> None:
        for observer in observers:
            observer(line)

    return notify


def align_within(run: AlignConfig, budget: Budget) -> tuple[Result, Choice]:
    """Align with the method that a search within a time budget chooses on validation.

    The test split is read once, for the winner.

    Args:
        run: The alignment's configuration; its method is ignored.
        budget: Time of the whole command.

    Returns:
        The winner's result, and the record of the search.

    Raises:
        PolyclipError: As `align`, and where the folder holds something else.

    """
    clock = Clock(started=budget.started)
    refuse_folds(run)
    check_test_split(run)
    warn_of_slow_precision(run.compute)
    with lock_folder(run.out), use_encode_precision(run.encode_precision):
        check_training_languages(run)
        with keep_random_state(), multiply_at_full_rate():
            found = search(run, budget, clock)
        trial = replace(run, out=found.folder)
        result = score_run(trial, found.best.settings, load_model(found.folder), clock, found.leaked)
        choice = finish(found)
        with open_trackers(run.track, run.out, found.best.settings) as observe:  # the chosen run's curves
            for line in read_facts(run.out).log:
                notify_all([observe, *run.observers])(line)
    return result, choice


def print_export_limits(aligner: PolyCLIP) -> None:
    """Say before training to which export targets the run will not be able to go, and what would."""
    limit = describe_limits(plan_of(aligner.config))
    if limit:
        console.print(limit, highlight=False, soft_wrap=True)


@keep_encoders()
def score_run(
    run: AlignConfig,
    settings: dict[str, Any],
    aligner: PolyCLIP,
    clock: "Clock",
    leaked: dict[str, Any] | None,
    folds: TrainedFolds | None = None,
    planned: Request | None = None,
) -> Result:
    """Score a trained model on the test split and write the run's result, with `settings` and the split's overlap with
    the training data, as this process has them in memory. With folds these are scored, and the first one's retention
    is measured. What is scored is `planned`, or else planned here.
    """
    first = run if folds is None else folds.folds[0].work.run
    tested = aligner.eval() if folds is None else folds.folds[0].work.aligner
    request = plan_scoring(run, first.corpus) if planned is None else planned
    with multiply_at_full_rate():
        report = (
            find_benchmark("held-out").score(tested, request)
            if folds is None
            else score_folds(run, folds, aligner.eval())
        )
    request = split_request(request)[0]  # of several corpora: retention is measured on the first
    corpus = load_corpus(request.corpus)
    rows = read_named_rows(corpus, request)[0]
    before = run.continued
    kept = (
        compute_retention(
            tested, corpus, rows, request.trained, request.split, report.embeddings if folds is None else None
        )
        if before is None
        else measure_retention(before, tested, corpus, rows, request.split)
    )
    clock.lap("evaluate")
    facts = describe_origin(aligner, run.heads.seed, report)
    facts |= {} if leaked is None else {"notes": [*facts["notes"], *describe_leakage(leaked)], "leakage": leaked}
    if folds is None:
        facts["notes"] += describe_unlearnt(run)
    else:
        table, notes = describe_folds(run, folds)
        facts |= {"folds": table, "notes": [*notes, *facts["notes"]], "interval": INTERVAL}
    result = Result(
        as_written(settings | run.advice), collect_model_facts(aligner), clock.laps, report.scores, facts, kept
    )
    if distributed.is_first_process():
        write_result(run.out / "result.json", result)
        write_card(run.out)
        checkpoint.remove(run.out)
        if folds is None:
            note_scored(run, aligner)
    return result


def note_scored(run: AlignConfig, aligner: PolyCLIP) -> None:
    """Note in the cache that test features are there; a cache that may not be written ends no finished run."""
    try:
        for mark in list_score_markers(run, aligner).values():
            if not mark.exists():
                write_text(mark, "", what="a note that test features are in the cache")
    except PolyclipError as error:
        console.print(str(error), highlight=False, soft_wrap=True)


def evaluate(benchmark: str, model: PolyCLIP | Path, request: Request) -> Result:
    """Score a model on a benchmark.

    Args:
        benchmark: Name of the benchmark (`polyclip eval --help` lists them).
        model: A model, or a run folder.
        request: Languages, corpus and split.

    Returns:
        Scores, timings and provenance.

    Raises:
        UnknownName: The benchmark does not exist.
        RunError: `model` is not a run folder, or a model without the settings of its run.
        PolyclipError: Whatever else loading the model and the benchmark raise.

    """
    module = find_benchmark(benchmark)
    clock = Clock()
    aligner = model if isinstance(model, PolyCLIP) else load_model(model)
    facts = aligner.settings if isinstance(model, PolyCLIP) else read_settings(model, "heads")
    if not facts:
        raise RunError(
            "The model does not come from a run: expected one that align returned or from_pretrained loaded."
        )
    check_unseen(facts, benchmark, request.corpus)
    clock.lap("load")
    with multiply_at_full_rate():
        report = module.score(aligner, Request(**{**request.__dict__, "trained": frozenset(facts["languages"])}))
    clock.lap("evaluate")
    laps = {"encode": 0.0, "train": 0.0, **clock.laps}
    return Result(
        facts,
        collect_model_facts(aligner),
        laps,
        report.scores,
        describe_origin(aligner, facts["heads"]["seed"], report),
    )


def collect_model_facts(aligner: PolyCLIP) -> dict[str, Any]:
    """Collect the `model` table of a result."""
    named = ("method", "tune", "text_encoder", "vision_tower", "dim")
    return read_fields(aligner.config, named) | aligner.counts()
