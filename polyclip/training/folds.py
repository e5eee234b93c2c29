"""Several folds of a small corpus: when they are made, how they are trained, and how their epoch is chosen.

Fold f tests its own images, validates on those of fold f + 1 and trains on the others. All folds train side by side,
an epoch each in turn, so that the epoch can be chosen by the mean of their validations without keeping the weights of
all epochs. The epoch of a fold's score is chosen by the folds that do not validate on what it tests.
"""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from polyclip.core.distributed import is_launched
from polyclip.core.progress import Progress, console, show_messages
from polyclip.core.run_folder import check_folder, write_settings
from polyclip.data.corpus import Corpus, load_corpus
from polyclip.data.folds import check_folds, has_own_test, name_fold, name_whole
from polyclip.data.pairs import make_training_pairs
from polyclip.errors import DataError, PolyclipError, RunError
from polyclip.evaluation import held_out
from polyclip.evaluation.held_out import read_named_rows
from polyclip.evaluation.leakage.compare import describe_leakage
from polyclip.evaluation.pooling import pool_reports
from polyclip.evaluation.retrieval import BenchmarkReport, Request
from polyclip.models import feature_cache
from polyclip.models.backbone import describe
from polyclip.training.class_names import fold_heads
from polyclip.training.config import AlignConfig, collect_settings, get_method
from polyclip.training.loop import train_epochs
from polyclip.training.prepare import Work, make_phase, prepare_run
from polyclip.training.scoring_plan import list_codes, list_reported_languages
from polyclip.training.trackers import Observer, ignore_line

USUAL = 5  # folds
SMALL = 300  # captioned images below which a corpus without a test split of its own is tested in folds
HELD_OUT, EMOJI = "held-out", "emoji"  # benchmarks that read a corpus
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


def plan_folds(run: AlignConfig) -> AlignConfig:
    """Decide in how many folds a run is tested; 1 is one split. Says so where the user did not.

    Args:
        run: With `folds` None where it is to be decided.

    Returns:
        The run with a number of folds.

    Raises:
        PolyclipError: Folds were asked for and cannot be made.

    """
    asked = run.final or (run.folds or 1) > 1
    hindrance = explain_no_folds(run)
    if run.folds == 1 and run.final:
        raise PolyclipError("--final trains for the epochs that folds chose and cannot be combined with --folds 1.")
    if asked and (run.folds == 2 or hindrance):
        raise PolyclipError(
            hindrance or "--folds 2 leaves nothing to train on beside test and validation: give 3 or more."
        )
    if hindrance or run.folds == 1:
        return replace(run, folds=1)
    count, corpus = run.folds or USUAL, load_corpus(run.corpus)
    captioned = len(list_captioned(run, corpus))
    if not asked and (captioned < 2 * count or captioned >= SMALL or has_own_test(corpus)):
        return replace(run, folds=1)
    if captioned < 2 * count:
        codes = ", ".join(language.code for language in run.languages)
        raise DataError(
            f"Corpus {corpus.name!r} has {captioned} captioned images in {codes}; {count} folds require {2 * count}."
        )
    why = "" if asked else f" ({captioned} captioned images, no test split of their own; --folds 1 for one split)"
    console.print(
        f"{count} folds{why}: each image is tested once, by a model trained without it.",
        highlight=False,
        soft_wrap=True,
    )
    return replace(run, folds=count)


def explain_no_folds(run: AlignConfig) -> str:
    """Why a run cannot be tested in folds; empty where it can."""
    method = get_method(run)
    if run.continued is not None:
        return "--folds and --final cannot be combined with --from."
    if method.trains_towers or method.solve is not None or method.taught:
        return (
            f"--folds and --final require a method that trains heads alone by steps, such as head-mlp or heads; "
            f"{run.recipe.method} does not."
        )
    if is_launched():
        return "--folds and --final run in one process only: run them without torchrun or accelerate."
    if load_corpus(run.corpus).weights is not None:
        return "--folds and --final cannot be combined with several corpora."
    if load_corpus(run.corpus).pack.files:
        return "--folds and --final cannot be combined with a corpus in shards."
    return ""


def refuse_folds(run: AlignConfig) -> None:
    """Check that no folds were asked for where a method is still to be chosen.

    Raises:
        PolyclipError: They were.

    """
    if run.final or (run.folds or 1) > 1:
        raise PolyclipError("--folds and --final cannot be combined with --method auto: name the method.")


def list_captioned(run: AlignConfig, corpus: Corpus) -> set[str]:
    """List the concepts that have a caption in a language of the run, in any split."""
    whole = load_corpus(name_whole(run.corpus))
    having = set(corpus.reader.languages(corpus.folder))
    locales = [locale for language in run.languages if (locale := corpus.get_locale(language)) in having]
    return {row.concept for locale in locales for row in whole.reader.read(whole.folder, locale, "train")}


def check_test_split(run: AlignConfig) -> None:
    """Check before training that something can be scored afterwards; name the languages that cannot.

    Raises:
        DataError: No language of the run has a caption in the test split.

    """
    corpus = load_corpus(run.corpus)
    having = set(corpus.reader.languages(corpus.folder))
    codes = {language.code: corpus.get_locale(language) for language in run.languages}
    without = [
        code
        for code, locale in codes.items()
        if locale in having and not corpus.reader.read(corpus.folder, locale, "test")
    ]
    if without and len(without) == len(codes):
        ways = "mark some with the split test" + (
            "" if explain_no_folds(run) else ", or test all in turn with --folds 5"
        )
        raise DataError(f"Corpus {corpus.name!r} has no test captions in {', '.join(without)}: {ways}.")
    if without:
        console.print(f"no test captions, so no score: {', '.join(without)}", highlight=False, soft_wrap=True)


@contextmanager
def encode_whole(run: AlignConfig) -> Iterator[None]:
    """Check and open the run folder, and encode every caption and image of the corpus once for all folds."""
    settings = collect_settings(run)
    check_folder(run.out, settings, resume=run.resume)
    corpus, whole = load_corpus(run.corpus), load_corpus(name_whole(run.corpus))
    parts = [load_corpus(name_fold(run.corpus, number + 1, run.folds or 1)) for number in range(run.folds or 1)]
    check_folds(parts)
    check_parts(run, parts)
    write_settings(run.out, settings | run.advice)
    pairs = make_training_pairs(whole, run.languages, "train", run.sample)
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


def check_parts(run: AlignConfig, parts: list[Corpus]) -> None:
    """Check before training that every language can be trained and validated in every fold, and in what is kept.

    Raises:
        DataError: A language has too few captions, or too many images are the same.

    """
    own = load_corpus(run.corpus)
    if bare := [] if run.final else find_bare(run, own, ("train", "validation")):
        raise DataError(
            f"Corpus {own.name!r} has no caption in language {bare[0][0]!r} in split {bare[0][1]!r}, which the model "
            "that is kept is trained with: add captions, or give --final to train it on everything."
        )
    for part in parts:
        if not part.reader.split_concepts(part.folder, "train"):
            raise DataError(
                f"Corpus {own.name!r} has too few different images for {len(parts)} folds: images that look the same "
                "or share a group stay together. Give fewer --folds, or --folds 1 for one split."
            )
        bare = find_bare(run, part, ("train", "validation", "test"))
        if bare and (bare[0][1] != "test" or len(bare) == len(run.languages)):
            raise DataError(
                f"Corpus {own.name!r} has too few captions in {bare[0][0]!r} for {len(parts)} folds: one has none to "
                f"{ {'train': 'train on', 'validation': 'validate on', 'test': 'test'}[bare[0][1]] }. Add captions, "
                "give fewer --folds, or --folds 1 for one split."
            )


def find_bare(run: AlignConfig, corpus: Corpus, splits: tuple[str, ...]) -> list[tuple[str, str]]:
    """Find languages of a run without a caption in one of these splits, and which split that is."""
    return [
        (language.code, split)
        for split in splits
        for language in run.languages
        if not corpus.reader.read(corpus.folder, corpus.get_locale(language), split)
    ]


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


def score_folds(run: AlignConfig, folds: TrainedFolds) -> BenchmarkReport:
    """Score every fold on the images that it has not seen, and pool the scores.

    Args:
        run: The run.
        folds: Its trained folds.

    Returns:
        Pooled scores of the trained languages and those of XM3600 that the corpus has.

    """
    languages = list_reported_languages(run, load_corpus(run.corpus))
    request = Request(languages=languages, trained=list_codes(run.languages))
    reports = [held_out.score(fold.work.aligner, replace(request, corpus=fold.work.run.corpus)) for fold in folds.folds]
    return pool_reports(reports, [language.code for language in languages])


def check_unseen(settings: dict[str, Any], benchmark: str, corpus: str) -> None:
    """Check that a benchmark's images are not those that a model was trained on with --final.

    Args:
        settings: Of the model's run.
        benchmark: Name of the benchmark.
        corpus: Name or path of the corpus that `held-out` reads.

    Raises:
        RunError: They are.

    """
    trained = load_corpus(settings["corpus"]) if settings.get("final") and benchmark in (HELD_OUT, EMOJI) else None
    if (
        trained is not None
        and trained.path.resolve() == load_corpus(EMOJI if benchmark == EMOJI else corpus).path.resolve()
    ):
        raise RunError(
            f"The model was trained on every image of {trained.name!r} (--final), so that none is left to test it on; "
            "the scores of its folds are in the run's result.json."
        )


def describe_folds(run: AlignConfig, folds: TrainedFolds) -> tuple[dict[str, Any], list[str]]:
    """Describe the folds for result.json, and in sentences for readers.

    Args:
        run: The run.
        folds: Its trained folds.

    Returns:
        The object `folds` of result.json's origin, and notes.

    """
    trained = [len(fold.work.sides[0].train_pairs.concepts) for fold in folds.folds]
    every = list_captioned(run, load_corpus(run.corpus))
    kept = every if run.final else every & set(read_train_concepts(run))
    leaked = [note for fold in folds.folds if fold.work.leaked for note in describe_leakage(fold.work.leaked)]
    said = f"{min(trained)}" if len(set(trained)) == 1 else f"{min(trained)} to {max(trained)}"
    notes = [
        f"The scores are those of {run.folds} models, each trained on {said} of {len(every)} captioned images and "
        "tested on others; intervals redraw folds and concepts."
    ]
    notes += [
        f"The model that is kept was trained on all {len(every)} captioned images for {folds.epochs} epochs, which the "
        "folds chose; it was not scored itself."
        if run.final
        else f"The model that is kept was trained on {len(kept)} captioned images for {folds.epochs} epochs, which the "
        f"folds chose; it did not learn from the other {len(every) - len(kept)} of {len(every)}: --final trains on all."
    ]
    facts = {
        "count": run.folds,
        "captioned": len(every),
        "trained_on": trained,
        "epochs": [fold.epoch for fold in folds.folds],
        "validation": folds.validation,
        "kept": {"final": run.final, "trained_on": len(kept), "epochs": folds.epochs},
    }
    return facts, [*notes, *dict.fromkeys(leaked)]


def describe_unlearnt(run: AlignConfig) -> list[str]:
    """Say how much of a small corpus a run with one split did not learn from; nothing where folds cannot be made."""
    if explain_no_folds(run):
        return []
    every = list_captioned(run, load_corpus(run.corpus))
    held = len(every - set(read_train_concepts(run)))
    return (
        [
            f"Trained on {len(every) - held} of {len(every)} captioned images; the other {held} validate and test. "
            "--final tests in folds and trains on all."
        ]
        if held and len(every) < SMALL
        else []
    )


def read_train_concepts(run: AlignConfig) -> list[str]:
    """Read the concepts of the corpus' own training split."""
    corpus = load_corpus(run.corpus)
    return list(corpus.reader.split_concepts(corpus.folder, "train"))
