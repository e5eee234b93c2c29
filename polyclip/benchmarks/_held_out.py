"""Held-out concepts of a corpus, in every language that names them.

Protocols: one gallery a picture style, with a picture of every concept of the split (the first style is the headline);
`<first style>/no-flags-symbols` leaves those two categories out, where the corpus has categories. Queries are the names, that is the
first captions. Intervals redraw concept groups.
"""

from typing import Any

from polyclip.aligner import Aligner
from polyclip.benchmarks._retrieval import Items, Report, Request, both_directions
from polyclip.errors import DataError
from polyclip.packs import Corpus, known_languages, load_corpus, load_language
from polyclip.progress import Progress
from polyclip.records import Score

FEWEST = 30  # captions; below that an interval says nothing
PLAIN = {"Flags", "Symbols"}


def score(aligner: Aligner, request: Request) -> Report:
    """Score every requested language; without a request, every locale that names at least 30 concepts of the split.

    Raises DataError when none of them names a concept of the split.
    """
    corpus = load_corpus(request.corpus)
    locales = {language.code: corpus.locale(language) for language in request.languages} or all_locales(corpus)
    rows = {code: corpus.reader.read(corpus.folder, locale, request.split) for code, locale in locales.items()}
    fewest = 1 if request.languages else FEWEST
    few = sorted(code for code, found in rows.items() if len(found) < fewest)
    rows = {code: found for code, found in rows.items() if len(found) >= fewest}
    if not rows:
        raise DataError(f"None of the languages {', '.join(few)} names {fewest} concepts of split {request.split!r} in corpus {corpus.name!r}.")
    galleries, categories = pictures(aligner, corpus, request.split)
    names = {code: [row.captions[0] for row in found] for code, found in rows.items()}
    flat = aligner.text.embed([name for found in names.values() for name in found], f"names in {len(names)} languages", keep=True)
    vectors = dict(zip(names, flat.split([len(found) for found in names.values()]), strict=True))
    scores: list[Score] = []
    with Progress("scoring", len(rows)) as progress:
        for code, found in rows.items():
            text = Items(vectors[code], [row.concept for row in found], [row.group for row in found])
            facts = {"benchmark": corpus.name, "split": request.split, "language": code, "seen": code in request.trained}
            scores += protocols(text, galleries, categories, facts)
            progress.advance(1)
    notes = [f"left out, fewer than {fewest} names in this split: {', '.join(few)}"] if few else []
    return Report(scores, {"captions": len(flat), "pictures": sum(len(g.keys) for g in galleries.values())}, notes)


def all_locales(corpus: Corpus) -> dict[str, str]:
    """Every language of the corpus: packs by their code, and locales that no pack stands for by their own name."""
    packs = {load_language(code).cldr: code for code in known_languages()}
    return {packs.get(locale, locale): locale for locale in corpus.reader.languages(corpus.folder)}


def pictures(aligner: Aligner, corpus: Corpus, split: str) -> tuple[dict[str, Items], dict[str, str]]:
    """One gallery a style, and the category of each concept."""
    concepts = corpus.reader.split_concepts(corpus.folder, split)
    galleries = {}
    for style in corpus.reader.styles(corpus.folder):
        drawn = corpus.reader.pictures(corpus.folder, style)
        kept = [concept for concept in concepts if concept in drawn]
        vectors = aligner.vision.embed([drawn[concept] for concept in kept], f"{split} pictures ({style})", keep=True)
        galleries[style] = Items(vectors, kept, [concepts[concept].group for concept in kept])
    return galleries, {concept: row.category for concept, row in concepts.items()}


def protocols(text: Items, galleries: dict[str, Items], categories: dict[str, str], facts: dict[str, Any]) -> list[Score]:
    """Scores of one language under every protocol, the headline's first."""
    headline, gallery = next(iter(galleries.items()))
    scores = both_directions(text, gallery, protocol=headline, **facts)
    plain = {concept for concept, category in categories.items() if category not in PLAIN}
    if len(plain) < len(categories) and plain & set(text.keys):
        scores += both_directions(text.only(plain), gallery.only(plain), protocol=f"{headline}/no-flags-symbols", **facts)
    for style, other in galleries.items():
        if style != headline and set(other.keys) & set(text.keys):
            scores += both_directions(text, other, protocol=style, **facts)
    return scores
