"""Held-out concepts of a corpus, in every language that names them.

Protocols, the first is the headline: `mixed-styles`, one picture of every concept of the split, in a style chosen by hash among those
that draw it; `mixed-styles/no-flags-symbols`, the same without these two categories, where the corpus has categories; and one gallery
a style. A corpus of a single style has that style's gallery alone. Queries are the names, that is the first captions, by people where a
language has such. Intervals redraw concept groups.
"""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from polyclip.core import distributed
from polyclip.core.progress import Progress
from polyclip.data.captions import normalised
from polyclip.data.corpus import Corpus, load_corpus
from polyclip.data.sampling_weights import HUMAN, by_people
from polyclip.data.types import Row
from polyclip.errors import DataError
from polyclip.evaluation.results import Score
from polyclip.evaluation.retrieval import Items, Report, Request, both_directions
from polyclip.evaluation.shares import each
from polyclip.languages.normalize import pack_of
from polyclip.languages.schema import known_languages, load_language
from polyclip.models.aligner import PolyCLIP

MIXED = "mixed-styles"
FEWEST = 30  # captions; below that an interval says nothing
PLAIN = {"Flags", "Symbols"}


def score(aligner: PolyCLIP, request: Request) -> Report:
    """Score every requested language; without a request, every locale that names at least 30 concepts of the split.

    Raises DataError when none of them names a concept of the split.
    """
    corpus = load_corpus(request.corpus)
    rows, few = named_rows(corpus, request)
    galleries, categories = pictures(aligner, corpus, request.split)
    vectors = {code: aligner.text.unit(pooled) for code, pooled in pooled_names(aligner, rows).items()}
    with Progress("scoring", len(distributed.share(list(rows)))) as progress:

        def one(code: str) -> list[Score]:
            text = Items(vectors[code], [row.concept for row in rows[code]], [row.group for row in rows[code]])
            facts = {"benchmark": corpus.name, "split": request.split, "language": code, "seen": request.seen(code)}
            scores = protocols(text, galleries, categories, facts)
            progress.advance(1)
            return scores

        scores = each(rows, one)
    notes = [f"left out, fewer than {FEWEST} names in this split: {', '.join(few)}"] if few else []
    machine = [code for code, found in rows.items() if all(row.provenance != HUMAN for row in found)]
    notes += [f"names written by machines, not by people: {', '.join(machine)}"] if machine else []
    return Report(
        scores,
        {
            "captions": sum(map(len, rows.values())),
            "pictures": sum(len(gallery.keys) for name, gallery in galleries.items() if name != MIXED),
        },
        notes,
    )


def named_rows(corpus: Corpus, request: Request) -> tuple[dict[str, list[Row]], list[str]]:
    """Rows of every language to be scored, and the codes of those that name too few concepts.

    Raises DataError when none is left.
    """
    locales = {language.code: corpus.locale(language) for language in request.languages} or all_locales(corpus)
    rows = {
        code: normalised(by_people(corpus.reader.read(corpus.folder, locale, request.split)), pack_of(code))
        for code, locale in locales.items()
    }
    fewest = 1 if request.languages else FEWEST
    few = sorted(code for code, found in rows.items() if len(found) < fewest)
    rows = {code: found for code, found in rows.items() if len(found) >= fewest}
    if not rows:
        raise DataError(
            f"None of the languages {', '.join(few)} names {fewest} concepts of split {request.split!r} in corpus {corpus.name!r}."
        )
    return rows, few


def pooled_names(aligner: PolyCLIP, rows: dict[str, list[Row]]) -> dict[str, Float[Tensor, "name width"]]:
    """The text encoder's own vectors of every name, by language."""
    names = {code: [row.captions[0] for row in found] for code, found in rows.items()}
    lengths = [len(found) for found in names.values()]
    flat = aligner.text.pooled(
        [name for found in names.values() for name in found],
        f"names in {len(names)} languages",
        keep=True,
        sections=lengths,
    )
    return dict(zip(names, flat.split(lengths), strict=True))


def all_locales(corpus: Corpus) -> dict[str, str]:
    """Every language of the corpus: packs by their code, and locales that no pack stands for by their own name."""
    packs = {load_language(code).cldr: code for code in known_languages()}
    return {packs.get(locale, locale): locale for locale in corpus.reader.languages(corpus.folder)}


def pictures(aligner: PolyCLIP, corpus: Corpus, split: str) -> tuple[dict[str, Items], dict[str, str]]:
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
    row_of = {style: {concept: row for row, concept in enumerate(gallery.keys)} for style, gallery in galleries.items()}
    chosen = mixed_styles(row_of)
    drawn = [galleries[style].vectors[row_of[style][concept]] for concept, style in chosen.items()]
    group = {
        concept: group
        for gallery in galleries.values()
        for concept, group in zip(gallery.keys, gallery.clusters, strict=True)
    }
    return Items(torch.stack(drawn), list(chosen), [group[concept] for concept in chosen])


def mixed_styles(drawn: Mapping[str, Iterable[str]]) -> dict[str, str]:
    """The style in which each concept is shown, in the concepts' order; `drawn` has the concepts that each style draws."""
    tickets: dict[str, list[tuple[str, str]]] = {}
    for style, concepts in drawn.items():
        for concept in concepts:
            tickets.setdefault(concept, []).append((hashlib.sha256(f"{concept} {style}".encode()).hexdigest(), style))
    return {concept: min(found)[1] for concept, found in sorted(tickets.items())}


def protocols(
    text: Items, galleries: dict[str, Items], categories: dict[str, str], facts: dict[str, Any]
) -> list[Score]:
    """Scores of one language under every protocol, the headline's first."""
    headline, gallery = next(iter(galleries.items()))
    scores = both_directions(text, gallery, protocol=headline, **facts)
    plain = {concept for concept, category in categories.items() if category not in PLAIN}
    if len(plain) < len(categories) and plain & set(text.keys):
        scores += both_directions(
            text.only(plain), gallery.only(plain), protocol=f"{headline}/no-flags-symbols", **facts
        )
    for style, other in galleries.items():
        if style != headline and set(other.keys) & set(text.keys):
            scores += both_directions(text, other, protocol=style, **facts)
    return scores
