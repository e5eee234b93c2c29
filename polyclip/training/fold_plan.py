"""When a small corpus is tested in folds, in how many, and what has to be there before they are trained."""

from dataclasses import replace
from typing import Any

from polyclip.core.launch import is_launched
from polyclip.core.progress import console
from polyclip.data.corpus import Corpus, load_corpus
from polyclip.data.folds import has_own_test, name_whole
from polyclip.errors import DataError, PolyclipError, RunError
from polyclip.training.config import AlignConfig, get_method

USUAL = 5  # folds
SMALL = 300  # captioned images below which a corpus without a test split of its own is tested in folds
HELD_OUT, EMOJI = "held-out", "emoji"  # benchmarks that read a corpus


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


def check_unseen(settings: dict[str, Any], benchmark: str, corpus: str) -> None:
    """Check that a benchmark's images are not those that a model was trained on with --final.

    Args:
        settings: Of the model's run.
        benchmark: Name of the benchmark.
        corpus: Name or path of the corpus that `held-out` reads.

    Raises:
        RunError: They are.

    """
    trained = (
        load_corpus(settings["corpus"])
        if settings.get("final") and settings.get("corpus") and benchmark in (HELD_OUT, EMOJI)
        else None
    )
    if (
        trained is not None
        and trained.path.resolve() == load_corpus(EMOJI if benchmark == EMOJI else corpus).path.resolve()
    ):
        raise RunError(
            f"The model was trained on every image of {trained.name!r} (--final), so that none is left to test it on; "
            "the scores of its folds are in the run's result.json."
        )


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
