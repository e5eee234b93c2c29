"""Scores of several corpora that are used together: each corpus' test split is scored by itself, under its own name."""

from collections.abc import Sequence
from dataclasses import replace

from polyclip.core.fields import read_fields
from polyclip.data.corpus import Corpus, load_corpus
from polyclip.data.joined import list_parts
from polyclip.errors import DataError
from polyclip.evaluation.held_out import score as score_corpus
from polyclip.evaluation.results import PerQueryScore, Score
from polyclip.evaluation.retrieval import BenchmarkReport, Request
from polyclip.languages.schema import Language
from polyclip.models.aligner import PolyCLIP


def score(aligner: PolyCLIP, request: Request) -> BenchmarkReport:
    """Score every requested language on each corpus of the request.

    Args:
        aligner: The model to score.
        request: Languages, split and corpus; languages that the model was trained on.

    Returns:
        Scores corpus by corpus; a corpus without captions in a requested language says so in a note.

    Raises:
        DataError: No language names a concept of the split in any corpus.

    """
    return join_reports([score_corpus(aligner, each) for each in split_request(request)])


def join_reports(reports: Sequence[BenchmarkReport]) -> BenchmarkReport:
    """Join what was found on several corpora; the protocol of each score names its corpus."""
    if len(reports) == 1:
        return reports[0]
    counts = {key: sum(report.counts[key] for report in reports) for key in reports[0].counts}
    return BenchmarkReport(
        [name_protocol(score) for report in reports for score in report.scores],
        counts,
        list(dict.fromkeys(note for report in reports for note in report.notes)),
    )


def name_protocol(score: Score) -> Score:
    """A score whose protocol names its corpus too, so that those of several corpora are told apart."""
    facts = read_fields(score, Score)
    facts["protocol"] = f"{score.protocol} of {score.benchmark}"
    if not isinstance(score, PerQueryScore):
        return Score(**facts)
    return PerQueryScore(replace(score.outcome, protocol=facts["protocol"]), **facts)


def split_request(request: Request) -> list[Request]:
    """Split a request into one for each corpus, with the languages that it has captions in.

    Args:
        request: Its corpus may stand for several.

    Returns:
        The requests, in the order of the corpora; the request itself for one corpus.

    Raises:
        DataError: No corpus has captions in any of the languages.

    """
    whole = load_corpus(request.corpus)
    if whole.weights is None:
        return [request]
    found = []
    for part in list_parts(whole):
        languages = [language for language in request.languages if has_captions(part, language, request.split)]
        if languages or not request.languages:
            found.append(replace(request, corpus=str(part.path), languages=languages))
    if not found:
        codes = ", ".join(language.code for language in request.languages)
        raise DataError(f"No corpus of {whole.name} has captions of split {request.split!r} in any of {codes}.")
    return found


def has_captions(corpus: Corpus, language: Language, split: str) -> bool:
    """Whether a corpus has captions in a language and split."""
    locale = corpus.get_locale(language)
    return locale in corpus.languages and bool(corpus.reader.read(corpus.folder, locale, split))
