"""Held-out concepts of a corpus, in every language that names them.

Protocols, the first is the headline: `mixed-styles`, one picture of every concept of the split, in a style chosen by hash among those
that draw it; `mixed-styles/no-flags-symbols`, the same without these two categories, where the corpus has categories; and one gallery
a style. A corpus of a single style has that style's gallery alone. Queries are the names, that is the first captions. Intervals redraw
concept groups.
"""

import hashlib
from typing import Any

import torch

from polyclip.aligner import Aligner
from polyclip.benchmarks._retrieval import Items, Report, Request, both_directions
from polyclip.errors import DataError
from polyclip.packs import Corpus, known_languages, load_corpus, load_language
from polyclip.progress import Progress
from polyclip.records import Score

MIXED = "mixed-styles"
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
    lengths = [len(found) for found in names.values()]
    flat = aligner.text.embed([name for found in names.values() for name in found], f"names in {len(names)} languages", keep=True, sections=lengths)
    vectors = dict(zip(names, flat.split(lengths), strict=True))
    scores: list[Score] = []
    with Progress("scoring", len(rows)) as progress:
        for code, found in rows.items():
            text = Items(vectors[code], [row.concept for row in found], [row.group for row in found])
            facts = {"benchmark": corpus.name, "split": request.split, "language": code, "seen": request.seen(code)}
            scores += protocols(text, galleries, categories, facts)
            progress.advance(1)
    notes = [f"left out, fewer than {fewest} names in this split: {', '.join(few)}"] if few else []
    return Report(scores, {"captions": len(flat), "pictures": sum(len(gallery.keys) for name, gallery in galleries.items() if name != MIXED)}, notes)


def all_locales(corpus: Corpus) -> dict[str, str]:
    """Every language of the corpus: packs by their code, and locales that no pack stands for by their own name."""
    packs = {load_language(code).cldr: code for code in known_languages()}
    return {packs.get(locale, locale): locale for locale in corpus.reader.languages(corpus.folder)}


def pictures(aligner: Aligner, corpus: Corpus, split: str) -> tuple[dict[str, Items], dict[str, str]]:
    """Galleries by protocol, the headline's first, and the category of each concept."""
    concepts = corpus.reader.split_concepts(corpus.folder, split)
    galleries = {}
    for style in corpus.reader.styles(corpus.folder):
        drawn = corpus.reader.pictures(corpus.folder, style)
        kept = [concept for concept in concepts if concept in drawn]
        vectors = aligner.vision.embed([drawn[concept] for concept in kept], f"{split} pictures ({style})", keep=True)
        galleries[style] = Items(vectors, kept, [concepts[concept].group for concept in kept])
    whole = {MIXED: mixed(galleries), **galleries} if len(galleries) > 1 else galleries
    return whole, {concept: row.category for concept, row in concepts.items()}


def mixed(galleries: dict[str, Items]) -> Items:
    """One picture of every concept. The style is chosen by hash, the same on every machine and for every model."""
    found: dict[str, tuple[str, str, int]] = {}
    for style, gallery in galleries.items():
        for row, concept in enumerate(gallery.keys):
            ticket = (hashlib.sha256(f"{concept} {style}".encode()).hexdigest(), style, row)
            found[concept] = min(ticket, found.get(concept, ticket))
    drawn = [galleries[style].vectors[row] for _, (_, style, row) in sorted(found.items())]
    group = {concept: group for gallery in galleries.values() for concept, group in zip(gallery.keys, gallery.clusters, strict=True)}
    return Items(torch.stack(drawn), sorted(found), [group[concept] for concept in sorted(found)])


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
