"""The whole examination on one page: captions, tokenizer, encoder, closeness, verdict."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from polyclip.core.progress import Progress
from polyclip.data.captions import normalize_captions
from polyclip.data.corpus import Corpus
from polyclip.data.types import Row
from polyclip.errors import DataError, WeightsError
from polyclip.evaluation.tokenizer.closeness import measure_closeness, is_finite, shuffle_rows
from polyclip.evaluation.tokenizer.findings import Checkup, Closeness, LanguageFindings, Finding, TokenStats, EmbeddingStats
from polyclip.evaluation.tokenizer.patient import ProbedEncoder, probe_encoder, check_fit
from polyclip.evaluation.tokenizer.tokens import Lengths, compute_parity, measure_tokens
from polyclip.evaluation.tokenizer.vectors import check_embeddings, measure_embeddings
from polyclip.evaluation.tokenizer.verdict import SCRIPT, decide_verdict
from polyclip.languages.resolve import resolve_language
from polyclip.languages.schema import Language
from polyclip.models.backbone import BackboneSpec

SPLIT = "train"  # nothing here looks at what is tested
PIVOTS = (
    "en",
    "fr",
    "de",
    "es",
)  # a language is compared with the first of these that the corpus has and that it is not
CONTROL = PIVOTS[0]  # the language every encoder should read
CAPTIONS = 400  # names of each language that are encoded: intervals of about five points
NEEDS_VECTORS = {"out-of-range", "does-not-run"}  # without these


def examine(tower: BackboneSpec, corpus: Corpus, languages: Sequence[Language], captions: int = CAPTIONS) -> Checkup:
    """Examine `tower` on the training captions of `languages`; `captions` is the most names that are encoded of each, >= 30.

    Raises DataError for a language without captions and for an encoder that does not show its tokenizer, and what building it raises.
    """
    rows = read_training_rows(corpus, languages)
    patient = probe_encoder(tower)
    tokens = tokenize_rows(
        patient,
        {
            code: rows[code]
            for code in dict.fromkeys([CONTROL, *(language.code for language in languages)])
            if code in rows
        },
    )
    findings = check_fit(patient, tokens, tokens.get(CONTROL))
    vectors: dict[str, EmbeddingStats | None] = {}
    close: dict[str, Closeness] = {}
    if not NEEDS_VECTORS & {finding.kind for finding in findings}:
        vectors = {code: measure_embeddings(patient.encoder, [row.captions[0] for row in rows[code]]) for code in tokens}
        findings += [
            finding for code, found in vectors.items() for finding in check_behaviour(patient, code, tokens[code], found)
        ]
    if vectors and None not in vectors.values():
        close, broken = compare_languages(patient, rows, languages, captions)
        findings += broken
    return Checkup(
        text_encoder=tower.name,
        identity=tower.identity,
        corpus=corpus.name,
        split=SPLIT,
        vocabulary=len(patient.vocabulary.pieces),
        table=patient.table,
        twins=patient.twins,
        frame=patient.frame,
        findings=findings,
        languages=[
            summarize_language(language, tokens[language.code], vectors.get(language.code), close.get(language.code))
            for language in languages
        ],
    )


def read_training_rows(corpus: Corpus, languages: Sequence[Language]) -> dict[str, list[Row]]:
    """Training rows of the languages and of those they may be compared with.

    Raises DataError for a language that names nothing.
    """
    there = corpus.reader.languages(corpus.folder)
    rows = {language.code: read_rows(corpus, language, there) for language in languages}
    for language in languages:
        if not rows[language.code]:
            raise DataError(
                f"Corpus {corpus.name!r} has no caption in {language.name} ({language.code}) in split {SPLIT!r}; it has {', '.join(there[:8])}"
                f"{f' and {len(there) - 8} more' if len(there) > 8 else ''}. Leave this one out, or give --corpus a pack that names it."
            )
    others = {code: read_rows(corpus, resolve_language(code), there) for code in PIVOTS if code not in rows}
    return rows | {code: found for code, found in others.items() if found}


def read_rows(corpus: Corpus, language: Language, there: Sequence[str]) -> list[Row]:
    """Training rows of one language; none where the corpus does not have it."""
    locale = corpus.get_locale(language)
    return normalize_captions(corpus.reader.read(corpus.folder, locale, SPLIT), language) if locale in there else []


def tokenize_rows(patient: ProbedEncoder, rows: Mapping[str, list[Row]]) -> dict[str, TokenStats]:
    """Every caption through the tokenizer."""
    found: dict[str, TokenStats] = {}
    lengths: dict[str, Lengths] = {}
    with Progress(
        "reading captions with the tokenizer", sum(len(row.captions) for part in rows.values() for row in part)
    ) as progress:
        for code, part in rows.items():
            script = resolve_language(code).script
            found[code], lengths[code] = measure_tokens(
                patient.encoder, patient.vocabulary, patient.frame, part, script, progress.advance
            )
    english = lengths.get(CONTROL, {})
    return {code: replace(tokens, relative=compute_parity(lengths[code], english)) for code, tokens in found.items()}


def check_behaviour(patient: ProbedEncoder, code: str, tokens: TokenStats, found: EmbeddingStats | None) -> list[Finding]:
    """Findings about vectors of one language; equal vectors are no defect where the tokenizer does not know the script."""
    known = tokens.unknown_captions <= SCRIPT
    return check_embeddings(
        patient.encoder, resolve_language(code).name, found, known=known, left=patient.frame.side == "left"
    )


def compare_languages(
    patient: ProbedEncoder, rows: Mapping[str, list[Row]], languages: Sequence[Language], captions: int
) -> tuple[dict[str, Closeness], list[Finding]]:
    """How close each language is to its pivot; or the defect that one of all those captions showed."""
    named = {code: shuffle_rows(found) for code, found in rows.items()}
    pivots = {
        language.code: pivot
        for language in languages
        if (pivot := next((code for code in PIVOTS if code in rows and code != language.code), ""))
    }
    try:
        return measure_closeness(patient.tower, patient.encoder, named, pivots, captions), []
    except WeightsError:
        texts = [row.captions[0] for code in dict.fromkeys([*pivots, *pivots.values()]) for row in named[code].values()]
        if is_finite(patient.tower, patient.encoder, texts):
            raise
        return {}, check_embeddings(patient.encoder, "Some captions", None, known=True, left=False)


def summarize_language(language: Language, tokens: TokenStats, vectors: EmbeddingStats | None, close: Closeness | None) -> LanguageFindings:
    """One language's findings and verdict."""
    return LanguageFindings(
        code=language.code,
        name=language.name,
        script=language.script,
        recipe=language.recipe.method,
        tokens=tokens,
        vectors=vectors,
        closeness=close,
        verdict=decide_verdict(tokens, close, language.code == CONTROL),
    )
