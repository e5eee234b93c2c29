"""Everything that scoring and saving a run will need, looked at before its first training step."""

from dataclasses import replace

from polyclip.core.run_folder import check_folder
from polyclip.data.corpus import load_corpus
from polyclip.data.image_hash import hash_images
from polyclip.data.joined import list_parts
from polyclip.errors import DataError
from polyclip.evaluation.benchmark import find_benchmark
from polyclip.evaluation.forgetting import PIVOTS
from polyclip.evaluation.held_out import read_named_rows
from polyclip.evaluation.leakage.sources import collect_corpus
from polyclip.evaluation.per_corpus import split_request
from polyclip.evaluation.retrieval import Request
from polyclip.training.config import AlignConfig, collect_settings
from polyclip.training.scoring_plan import list_codes, list_reported_languages
from polyclip.training.shared_images import report_shared_images


def plan_scoring(run: AlignConfig, corpus: str = "") -> Request:
    """What the final scoring of a run asks for: of a part of its corpus, or of all its corpora."""
    name = corpus or run.corpus
    languages = list_reported_languages(run, load_corpus(name))
    return Request(languages=languages, trained=list_codes(run.languages), corpus=name)


def check_before_training(run: AlignConfig) -> Request:
    """Check that a run can be scored: captions, splits and images of the test split.

    Args:
        run: The alignment's configuration.

    Returns:
        What the final scoring asks for, with the rows that were read.

    Raises:
        RunError: The folder holds another run, or an unfinished one without --resume.
        DataError: A language has no training captions, no test captions are there, or a test image cannot be read.
        PolyclipError: Whatever else is wrong with a corpus.

    """
    check_folder(run.out, collect_settings(run), resume=run.resume)
    find_benchmark("held-out")
    check_training_languages(run)
    report_shared_images(run.corpus)
    plan = plan_scoring(run)
    rows = {}
    for request in split_request(plan):
        corpus = load_corpus(request.corpus)
        if not corpus.reader.split_concepts(corpus.folder, request.split):
            raise DataError(
                f"Corpus {corpus.name!r} has no images in split {request.split!r}, so the model could not be scored; "
                "give some rows that split."
            )
        rows[request.corpus] = read_named_rows(corpus, request)
        if run.lint and not corpus.pack.files:
            check_test_images(request)
    return replace(plan, rows=rows)


def check_training_languages(run: AlignConfig) -> None:
    """Check that each sampled language has captions.

    Raises:
        DataError: One has none; the languages that are there are named.

    """
    corpus = load_corpus(run.corpus)
    having = corpus.languages
    lacking = [one for one in run.sampled_languages if corpus.get_locale(one) not in having]
    if lacking:
        few = f"{', '.join(having[:12])}{f', ... ({len(having)} in all)' if len(having) > 12 else ''}"
        names = ", ".join(f"{language.code} ({language.name})" for language in lacking)
        without = (
            " Train without English: --no-english, in Python english=False."
            if [one.code for one in lacking] == ["en"]
            else ""
        )
        raise DataError(f"Corpus {corpus.name!r} has no captions in {names}; it has {few}.{without}")


def check_test_images(request: Request) -> None:
    """Check that every test image can be decoded; the hashes that this makes are those of the leakage check.

    Raises:
        DataError: One cannot.

    """
    corpus = load_corpus(request.corpus)
    problems = hash_images(collect_corpus(corpus, request.split, request.languages[:1]).images, "test images").problems
    if problems:
        raise DataError(
            f"Test images of corpus {corpus.name!r} cannot be read ({len(problems)} in all), so the model could not be "
            f"scored. The first: {problems[0]}"
        )


def check_forgetting_is_measured(run: AlignConfig) -> None:
    """Check that `--max-drop` will have something to look at.

    Raises:
        DataError: The corpus has no language that was not trained.

    """
    corpus = list_parts(load_corpus(run.corpus))[0]
    trained = list_codes(run.languages)
    reported = list_codes(split_request(plan_scoring(run))[0].languages)
    if run.continued is None and not any(code in reported and code not in trained for code in PIVOTS):
        raise DataError(
            f"--max-drop has nothing to check: corpus {corpus.name!r} has no captions in a language that is not "
            f"trained and that retention is measured against ({', '.join(PIVOTS)}). Omit --max-drop."
        )
