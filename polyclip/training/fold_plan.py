"""When a small corpus is tested in folds, in how many, and what has to be there before they are trained."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from polyclip.core.launch import is_launched
from polyclip.core.progress import console
from polyclip.core.run_folder import read_settings
from polyclip.data.corpus import Corpus, load_corpus
from polyclip.data.corpus_names import is_joined
from polyclip.data.fold_names import list_folded, name_fold, name_whole
from polyclip.data.folds import check_folds, has_own_test
from polyclip.data.joined import list_parts
from polyclip.data.splits import FOLDED
from polyclip.errors import DataError, PolyclipError, RunError
from polyclip.languages.schema import Language
from polyclip.training.config import AlignConfig, get_method

USUAL = 5  # folds
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
    if not asked and (run.continued is not None or is_joined(run.corpus)):
        return replace(run, folds=1)
    count, corpus = run.folds or USUAL, load_corpus(run.corpus)
    captioned = {name: len(list_captioned(run, name_whole(name))) for name in list_folded(run.corpus)}
    few = [name for name, images in captioned.items() if images < 2 * count]
    if not asked and (few or captioned[run.corpus] >= FOLDED or has_own_test(corpus)):
        return replace(run, folds=1)
    if few:
        codes = ", ".join(language.code for language in select_languages(run, load_corpus(few[0])) or run.languages)
        raise DataError(
            f"Corpus {load_corpus(few[0]).name!r} has {captioned[few[0]]} captioned images in {codes}; {count} folds "
            f"require {2 * count}."
        )
    why = "" if asked else f" ({captioned[run.corpus]} captioned images, no test split of their own; --folds 1 for one)"
    whose = f" of {', '.join(load_corpus(name).name for name in captioned)}" if is_joined(run.corpus) else ""
    console.print(
        f"{count} folds{why}: each image{whose} is tested once, by a model trained without it.",
        highlight=False,
        soft_wrap=True,
    )
    return replace(run, folds=count)


def explain_no_folds(run: AlignConfig) -> str:
    """Why a run cannot be tested in folds; empty where it can."""
    method = get_method(run)
    if method.trains_towers or method.solve is not None or method.taught:
        return (
            f"--folds and --final require a method that trains heads alone by steps, such as head-mlp or heads; "
            f"{run.recipe.method} does not."
        )
    if is_launched():
        return "--folds and --final run in one process only: run them without torchrun or accelerate."
    if not list_folded(run.corpus):
        return (
            f"--folds and --final require a corpus of fewer than {FOLDED} images without a test split of its own; of "
            "several corpora only such ones are tested in folds, and there is none here."
        )
    if run.continued is not None:
        return explain_no_continued_folds(run)
    if load_corpus(run.corpus).pack.files:
        return "--folds and --final cannot be combined with a corpus in shards."
    return ""


def explain_no_continued_folds(run: AlignConfig) -> str:
    """Why a run that goes on from another one cannot be tested in folds; empty where it can."""
    if run.continued is None or run.continued.shots.count is not None:
        return "--folds and --final cannot be combined with --shots, which takes its captions from the training split."
    learnt = list_learnt(run.continued.start)
    known = next((name for name in list_folded(run.corpus) if load_corpus(name).path.resolve() in learnt), None)
    if known is None:
        return ""
    return (
        f"--folds and --final: {run.continued.start} was trained on corpus {load_corpus(known).name!r} already, so "
        "folds of it would test what the run has learnt. Give --folds 1, or align anew without --from."
    )


def list_learnt(run: Path) -> set[Path]:
    """List the packs of the corpora that a run was trained on, and those of the runs before it that are still there."""
    settings = read_settings(run, "corpus")
    own = {part.path.resolve() for part in list_parts(load_corpus(settings["corpus"]))}
    before = Path(settings.get("continued", {}).get("from", ""))
    return own | (list_learnt(before) if (before / "run.toml").is_file() else set())


def refuse_folds(run: AlignConfig) -> None:
    """Check that no folds were asked for where a method is still to be chosen.

    Raises:
        PolyclipError: They were.

    """
    if run.final or (run.folds or 1) > 1:
        raise PolyclipError(
            "--folds and --final cannot be combined with --method auto: it chooses by validation images, which folds "
            "would test, and within a time that several models would not fit in. Name a method; without --folds, auto "
            "says which it chose."
        )


def select_languages(run: AlignConfig, corpus: Corpus) -> list[Language]:
    """Select the trained languages that a corpus has captions in."""
    having = set(corpus.reader.languages(corpus.folder))
    return [language for language in run.sampled_languages if corpus.get_locale(language) in having]


def list_captioned(run: AlignConfig, name: str, split: str = "train") -> set[str]:
    """List the concepts of a corpus or of a part of it that have a caption in a language of the run, in a split."""
    corpus = load_corpus(name)
    locales = [corpus.get_locale(language) for language in select_languages(run, corpus)]
    return {row.concept for locale in locales for row in corpus.reader.read(corpus.folder, locale, split)}


def count_captioned(run: AlignConfig, part: Callable[[str], str]) -> int:
    """Count the captioned training images of the corpora that are tested in folds; `part` names a part of each."""
    return sum(len(list_captioned(run, part(name))) for name in list_folded(run.corpus))


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


def check_kept(run: AlignConfig) -> None:
    """Check before training that every language can be trained and validated in what is kept.

    Raises:
        DataError: A language has too few captions.

    """
    own = load_corpus(run.corpus)
    if bare := [] if run.final else find_bare(run.sampled_languages, own, ("train", "validation")):
        raise DataError(
            f"Corpus {own.name!r} has no caption in language {bare[0][0]!r} in split {bare[0][1]!r}, which the model "
            "that is kept is trained with: add captions, or give --final to train it on everything."
        )


def check_parts(run: AlignConfig, name: str) -> None:
    """Check before training that every language of a corpus can be trained and validated in every fold.

    Raises:
        DataError: A language has too few captions, or too many images are the same.

    """
    count = run.folds or 1
    own, parts = load_corpus(name), [load_corpus(name_fold(name, number + 1, count)) for number in range(count)]
    check_folds(parts)
    languages = select_languages(run, own)
    for part in parts:
        if not part.reader.split_concepts(part.folder, "train"):
            raise DataError(
                f"Corpus {own.name!r} has too few different images for {len(parts)} folds: images that look the same "
                "or share a group stay together. Give fewer --folds, or --folds 1 for one split."
            )
        bare = find_bare(languages, part, ("train", "validation", "test"))
        if bare and (bare[0][1] != "test" or len(bare) == len(languages)):
            raise DataError(
                f"Corpus {own.name!r} has too few captions in {bare[0][0]!r} for {len(parts)} folds: one has none to "
                f"{ {'train': 'train on', 'validation': 'validate on', 'test': 'test'}[bare[0][1]] }. Add captions, "
                "give fewer --folds, or --folds 1 for one split."
            )


def find_bare(languages: list[Language], corpus: Corpus, splits: tuple[str, ...]) -> list[tuple[str, str]]:
    """Find languages without a caption in one of these splits, and which split that is."""
    return [
        (language.code, split)
        for split in splits
        for language in languages
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
    if not settings.get("final") or not settings.get("corpus") or benchmark not in (HELD_OUT, EMOJI):
        return
    asked = {part.path.resolve() for part in list_parts(load_corpus(EMOJI if benchmark == EMOJI else corpus))}
    trained = [load_corpus(name) for name in list_folded(settings["corpus"])]
    if known := next((one for one in trained if one.path.resolve() in asked), None):
        raise RunError(
            f"The model was trained on every image of {known.name!r} (--final), so that none is left to test it on; "
            "the scores of its folds are in the run's result.json."
        )


def describe_unlearnt(run: AlignConfig) -> list[str]:
    """Say how much of a small corpus a run with one split did not learn from; nothing where folds cannot be made."""
    if explain_no_folds(run):
        return []
    names = list_folded(run.corpus)
    every, trained = count_captioned(run, name_whole), count_captioned(run, str)
    whose = f" of {', '.join(load_corpus(name).name for name in names)}" if is_joined(run.corpus) else ""
    return (
        [
            f"Trained on {trained} of {every} captioned images{whose}; the other {every - trained} validate and test. "
            "--final tests in folds and trains on all."
        ]
        if trained < every < FOLDED
        else []
    )
