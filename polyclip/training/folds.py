"""Several folds of a small corpus: how they are trained, and how their epoch is chosen.

Fold f tests its own images, validates on those of fold f + 1 and trains on the others. All folds train side by side,
an epoch each in turn, so that the epoch can be chosen by the mean of their validations without keeping the weights of
all epochs. The epoch of a fold's score is chosen by the folds that do not validate on what it tests.
"""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from polyclip.core.progress import Progress, show_messages
from polyclip.core.run_folder import check_folder, write_settings
from polyclip.data.corpus import load_corpus
from polyclip.data.corpus_names import is_joined
from polyclip.data.fold_names import list_folded, name_fold, name_whole
from polyclip.data.joined import list_parts
from polyclip.data.training_pairs import make_training_pairs
from polyclip.evaluation import held_out
from polyclip.evaluation.held_out import read_named_rows
from polyclip.evaluation.leakage.compare import describe_leakage
from polyclip.evaluation.per_corpus import join_reports, split_request
from polyclip.evaluation.pooling import pool_reports
from polyclip.evaluation.retrieval import BenchmarkReport, Request
from polyclip.models import feature_cache
from polyclip.models.aligner import PolyCLIP
from polyclip.models.backbone import describe
from polyclip.training.class_names import fold_heads
from polyclip.training.config import AlignConfig, collect_settings
from polyclip.training.fold_plan import check_kept, check_parts, count_captioned
from polyclip.training.loop import train_epochs
from polyclip.training.preflight import plan_scoring
from polyclip.training.prepare import Work, make_phase, prepare_run
from polyclip.training.scoring_plan import list_reported_languages
from polyclip.training.trackers import Observer, ignore_line

FOLDER = "folds"  # below the run folder, while they are trained


@dataclass
class Fold:
    """A fold in training.

    Attributes:
        work: Its prepared run.
        best: Mean validation of the best epoch so far, among the folds that may choose its epoch.
        epoch: That epoch.
        weights: Its trained parameters at that epoch.

    """

    work: Work
    best: float = -1.0
    epoch: int = 0
    weights: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class TrainedFolds:
    """Trained folds, each at the epoch that was chosen for it.

    Attributes:
        folds: In order.
        validation: Mean validation recall over the folds after each epoch, from 0 on, in [0, 1].
        epochs: The best of them, for the model that is kept.

    """

    folds: list[Fold]
    validation: list[float]
    epochs: int


@contextmanager
def encode_whole(run: AlignConfig) -> Iterator[None]:
    """Check and open the run folder, and encode every caption and image of the corpus once for all folds."""
    settings = collect_settings(run)
    check_folder(run.out, settings, resume=run.resume)
    corpus, whole = load_corpus(run.corpus), load_corpus(name_whole(run.corpus))
    check_kept(run)
    for name in list_folded(run.corpus):
        check_parts(run, name)
    write_settings(run.out, settings | run.advice)
    pairs = make_training_pairs(whole, run.sampled_languages, "train", run.sample)
    rows = read_named_rows(whole, Request(languages=list_reported_languages(run, corpus), corpus=run.corpus))[0]
    known = set(pairs.captions)
    names = [[row.captions[0] for row in found if row.captions[0] not in known] for found in rows.values()]
    captions = [*pairs.captions, *(name for own in names for name in own)]
    text, tower = describe("encoders", run.recipe.text_encoder), describe("towers", run.recipe.vision_tower)
    sections = [*pairs.sections[0], *map(len, names)]
    with ExitStack() as stack:
        stack.enter_context(feature_cache.remember(text, captions, "captions of all folds", sections))
        stack.enter_context(feature_cache.remember(tower, pairs.images, "images of all folds", pairs.sections[1]))
        yield


def train_folds(run: AlignConfig) -> TrainedFolds:
    """Train all folds side by side and put each at the epoch that was chosen for it.

    Args:
        run: With the number of folds; everything is encoded already.

    Returns:
        The folds, ready to be scored.

    Raises:
        DataError: Training data of a fold overlap with what it tests.
        RunError: The loss is not finite.

    """
    shutil.rmtree(run.out / FOLDER, ignore_errors=True)
    count = run.folds or 1
    with Progress(f"training {count} folds", run.heads.epochs * count) as progress, show_messages(False):
        folds = [Fold(prepare_part(run, name_fold(run.corpus, n + 1, count), str(n + 1))) for n in range(count)]
        steps = [
            train_epochs(fold.work.aligner, replace(make_phase("heads", run.heads, fold.work), resumable=False))
            for fold in folds
        ]
        means = []
        for lines in zip(*steps, strict=True):
            values = [line["validation"] for line in lines]
            means.append(sum(values) / count)
            for number, fold in enumerate(folds):
                keep_best(fold, values[: number - 1] + values[number:] if number else values[:-1], lines[0]["epoch"])
            progress.advance(count if lines[0]["epoch"] else 0)
    for fold in folds:
        finish_fold(fold)
    shutil.rmtree(run.out / FOLDER)
    return TrainedFolds(folds=folds, validation=means, epochs=max(range(len(means)), key=lambda epoch: means[epoch]))


def prepare_part(run: AlignConfig, corpus: str, name: str) -> Work:
    """Prepare the training of a fold, or of the model that is kept, in a folder of its own."""
    return prepare_run(replace(run, corpus=corpus, out=run.out / FOLDER / name, advice={}))


def keep_best(fold: Fold, values: list[float], epoch: int) -> None:
    """Keep a fold's weights if this epoch is the best so far.

    Args:
        fold: The fold.
        values: Validation of the folds that may choose its epoch: all but the one that validates on what it tests.
        epoch: Number of the epoch.

    """
    mean = sum(values) / len(values)
    if mean > fold.best:
        named = fold.work.aligner.named_parameters()
        fold.best, fold.epoch = mean, epoch
        fold.weights = {name: p.detach().cpu().clone() for name, p in named if p.requires_grad}


def finish_fold(fold: Fold) -> None:
    """Give a fold's model the weights of its epoch, and heads of their final length."""
    aligner = fold.work.aligner.cpu()
    with torch.no_grad():
        for name, parameter in aligner.named_parameters():
            if name in fold.weights:
                parameter.copy_(fold.weights[name])
    fold.weights = {}
    fold_heads(*fold.work.sides)
    aligner.eval()


def train_kept(run: AlignConfig, folds: TrainedFolds, observe: Observer) -> tuple[Work, list[dict[str, Any]]]:
    """Train the model that is kept, for the epochs that the folds chose: on everything, or on the training split.

    Args:
        run: The run.
        folds: Its trained folds.
        observe: Is given each line of the log.

    Returns:
        The trained work in the run's folder, and the log.

    """
    corpus = name_whole(run.corpus) if run.final else run.corpus
    plan = replace(run, lint=False)
    work = replace(prepare_part(plan, corpus, "kept"), observe=observe)
    phase = make_phase("heads", run.heads, work)
    judged = "recall of trained images" if run.final else "validation"
    log = list(train_epochs(work.aligner, replace(phase, stop=folds.epochs, last=True, judged=judged, resumable=False)))
    work.aligner.cpu()
    fold_heads(*work.sides)
    shutil.rmtree(run.out / FOLDER)
    return replace(work, run=run, observe=ignore_line), log


def score_folds(run: AlignConfig, folds: TrainedFolds, kept: PolyCLIP) -> BenchmarkReport:
    """Score every fold on the images that it has not seen, and pool the scores.

    Args:
        run: The run.
        folds: Its trained folds.
        kept: The model that is kept; of several corpora it is scored on those that are not in folds.

    Returns:
        Pooled scores of the trained languages and those of XM3600 that the corpus has.

    """
    folded = {load_corpus(name_whole(name)).path: name for name in list_folded(run.corpus)}
    reports = []
    for request in split_request(plan_scoring(run, name_whole(run.corpus))):
        name = folded.get(load_corpus(request.corpus).path)
        reports.append(held_out.score(kept, request) if name is None else score_corpus(request, name, folds))
    return join_reports(reports)


def score_corpus(request: Request, name: str, folds: TrainedFolds) -> BenchmarkReport:
    """Score every fold of one corpus and pool the scores."""
    count = len(folds.folds)
    reports = [
        held_out.score(fold.work.aligner, replace(request, corpus=name_fold(name, number, count)))
        for number, fold in enumerate(folds.folds, 1)
    ]
    return pool_reports(reports, [language.code for language in request.languages])


def describe_folds(run: AlignConfig, folds: TrainedFolds) -> tuple[dict[str, Any], list[str]]:
    """Describe the folds for result.json, and in sentences for readers.

    Args:
        run: The run.
        folds: Its trained folds.

    Returns:
        The object `folds` of result.json's origin, and notes.

    """
    count = len(folds.folds)
    trained = [count_captioned(run, partial(name_fold, number=number, count=count)) for number in range(1, count + 1)]
    every = count_captioned(run, name_whole)
    kept = every if run.final else count_captioned(run, str)
    names = [load_corpus(name).name for name in list_folded(run.corpus)] if is_joined(run.corpus) else []
    whose = f" of {', '.join(names)}" if names else ""
    leaked = [note for fold in folds.folds if fold.work.leaked for note in describe_leakage(fold.work.leaked)]
    said = f"{min(trained)}" if len(set(trained)) == 1 else f"{min(trained)} to {max(trained)}"
    notes = [
        f"The scores are those of {run.folds} models, each trained on {said} of {every} captioned images{whose} and "
        "tested on others; intervals redraw folds and concepts."
    ]
    epochs = f"{folds.epochs} epoch{'s' * (folds.epochs != 1)}"
    notes += [
        f"The model that is kept was trained on all {every} captioned images{whose} for {epochs}, which "
        f"the folds chose; it was not scored {'on them ' if names else ''}itself."
        if run.final
        else f"The model that is kept was trained on {kept} captioned images{whose} for {epochs}, which "
        f"the folds chose; it did not learn from the other {every - kept} of {every}: --final trains on all."
    ]
    rest = [part.name for part in list_parts(load_corpus(run.corpus)) if names and part.name not in names]
    notes += [f"The scores of {', '.join(rest)} are those of the model that is kept."] if rest else []
    facts = {
        "count": run.folds,
        "captioned": every,
        "trained_on": trained,
        "epochs": [fold.epoch for fold in folds.folds],
        "validation": folds.validation,
        "kept": {"final": run.final, "trained_on": kept, "epochs": folds.epochs},
    }
    return facts, [*notes, *dict.fromkeys(leaked)]
