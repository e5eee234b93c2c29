"""The whole check-up on one page: captions, tokenizer, encoder, closeness, verdict."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from polyclip.core.progress import Progress
from polyclip.data.caption_checks import check_corpus
from polyclip.data.captions import normalize_captions
from polyclip.data.corpus import Corpus
from polyclip.data.types import Row
from polyclip.errors import DataError, WeightsError
from polyclip.evaluation.tokenizer.closeness import is_finite, measure_closeness, shuffle_rows
from polyclip.evaluation.tokenizer.findings import (
    Checkup,
    Closeness,
    EmbeddingStats,
    Finding,
    LanguageFindings,
    TokenStats,
)
from polyclip.evaluation.tokenizer.probe import ProbedEncoder, check_fit, probe_encoder
from polyclip.evaluation.tokenizer.tokens import Lengths, compute_parity, measure_tokens
from polyclip.evaluation.tokenizer.vectors import check_embeddings, measure_embeddings
from polyclip.evaluation.tokenizer.verdict import SCRIPT, decide_verdict
from polyclip.languages.resolve import resolve_language
from polyclip.languages.schema import Language
from polyclip.models.backbone import BackboneSpec

SPLIT = "train"  # the test split is never read
PIVOTS = (
    "en",
    "fr",
    "de",
    "es",
)  # the pivot of a language is the first other one of these that the corpus has
CONTROL = PIVOTS[0]  # the language every encoder should read
CAPTIONS = 400  # names of each language that are encoded: intervals of about five points
NEEDS_VECTORS = {"out-of-range", "does-not-run"}  # without these


def examine(tower: BackboneSpec, corpus: Corpus, languages: Sequence[Language], captions: int = CAPTIONS) -> Checkup:
    """Examine a text encoder on the training captions of some languages.

    Args:
        tower: The text encoder.
        corpus: The corpus that the captions are from.
        languages: The languages to examine.
        captions: Largest number of names to encode per language, >= 30.

    Returns:
        Findings, measurements and a verdict for each language.

    Raises:
        DataError: A language has no captions, or the encoder does not expose its tokenizer.

    """
    rows = read_training_rows(corpus, languages)
    probed = probe_encoder(tower)
    tokens = tokenize_rows(
        probed,
        {
            code: rows[code]
            for code in dict.fromkeys([CONTROL, *(language.code for language in languages)])
            if code in rows
        },
    )
    asked = {language.code: rows[language.code] for language in languages}
    findings = [Finding(one.kind, one.defect, one.sentence) for one in check_corpus(corpus, asked)]
    findings += check_fit(probed, tokens, tokens.get(CONTROL))
    vectors: dict[str, EmbeddingStats | None] = {}
    close: dict[str, Closeness] = {}
    if not NEEDS_VECTORS & {finding.kind for finding in findings}:
        vectors = {code: measure_embeddings(probed.encoder, [row.captions[0] for row in rows[code]]) for code in tokens}
        findings += [
            finding for code, found in vectors.items() for finding in check_behaviour(probed, code, tokens[code], found)
        ]
    if vectors and None not in vectors.values():
        close, broken = compare_languages(probed, rows, languages, captions)
        findings += broken
    return Checkup(
        text_encoder=tower.name,
        identity=tower.identity,
        corpus=corpus.name,
        split=SPLIT,
        vocabulary=len(probed.vocabulary.pieces),
        table=probed.table,
        twins=probed.twins,
        frame=probed.frame,
        findings=findings,
        languages=[
            summarize_language(language, tokens[language.code], vectors.get(language.code), close.get(language.code))
            for language in languages
        ],
    )


def read_training_rows(corpus: Corpus, languages: Sequence[Language]) -> dict[str, list[Row]]:
    """Read the training rows of the languages and of their possible pivots; DataError for a language without rows."""
    there = corpus.reader.languages(corpus.folder)
    rows = {language.code: read_rows(corpus, language, there) for language in languages}
    for language in languages:
        if not rows[language.code]:
            raise DataError(
                f"Corpus {corpus.name!r} has no caption in {language.name} ({language.code}) in split {SPLIT!r}; it "
                f"has {', '.join(there[:8])}"
                f"{f' and {len(there) - 8} more' if len(there) > 8 else ''}. Leave this one out, or give --corpus a "
                "pack that names it."
            )
    others = {code: read_rows(corpus, resolve_language(code), there) for code in PIVOTS if code not in rows}
    return rows | {code: found for code, found in others.items() if found}


def read_rows(corpus: Corpus, language: Language, there: Sequence[str]) -> list[Row]:
    """Read the training rows of one language; empty where the corpus does not have it."""
    locale = corpus.get_locale(language)
    return normalize_captions(corpus.reader.read(corpus.folder, locale, SPLIT), language) if locale in there else []


def tokenize_rows(probed: ProbedEncoder, rows: Mapping[str, list[Row]]) -> dict[str, TokenStats]:
    """Tokenize every caption and measure the tokens of each language."""
    found: dict[str, TokenStats] = {}
    lengths: dict[str, Lengths] = {}
    with Progress(
        "reading captions with the tokenizer", sum(len(row.captions) for part in rows.values() for row in part)
    ) as progress:
        for code, part in rows.items():
            script = resolve_language(code).script
            found[code], lengths[code] = measure_tokens(
                probed.encoder, probed.vocabulary, probed.frame, part, script, progress.advance
            )
    english = lengths.get(CONTROL, {})
    return {code: replace(tokens, relative=compute_parity(lengths[code], english)) for code, tokens in found.items()}


def check_behaviour(
    probed: ProbedEncoder, code: str, tokens: TokenStats, found: EmbeddingStats | None
) -> list[Finding]:
    """Check the embeddings of one language; equal embeddings are not a defect where the script is unknown."""
    known = tokens.unknown_captions <= SCRIPT
    return check_embeddings(
        probed.encoder, resolve_language(code).name, found, known=known, left=probed.frame.side == "left"
    )


def compare_languages(
    probed: ProbedEncoder, rows: Mapping[str, list[Row]], languages: Sequence[Language], captions: int
) -> tuple[dict[str, Closeness], list[Finding]]:
    """Measure how close each language is to its pivot, or report the defect that the captions showed."""
    named = {code: shuffle_rows(found) for code, found in rows.items()}
    pivots = {
        language.code: pivot
        for language in languages
        if (pivot := next((code for code in PIVOTS if code in rows and code != language.code), ""))
    }
    try:
        return measure_closeness(probed.tower, probed.encoder, named, pivots, captions), []
    except WeightsError:
        texts = [row.captions[0] for code in dict.fromkeys([*pivots, *pivots.values()]) for row in named[code].values()]
        if is_finite(probed.tower, probed.encoder, texts):
            raise
        return {}, check_embeddings(probed.encoder, "Some captions", None, known=True, left=False)


def summarize_language(
    language: Language, tokens: TokenStats, vectors: EmbeddingStats | None, close: Closeness | None
) -> LanguageFindings:
    """Combine one language's measurements and verdict."""
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
