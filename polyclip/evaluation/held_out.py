"""Zero-shot retrieval of held-out concepts of a corpus, in every language that names them.

Protocols, the first is the headline: `mixed-styles`, one image of every concept of the split, in a style chosen by hash
among those that have it; `mixed-styles/no-flags-symbols`, the same without these two categories, where the corpus has
categories; and one gallery per style. A corpus with a single style has that style's gallery only. Queries are the
names, that is the first captions; human captions are preferred. Intervals resample concept groups.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from polyclip.core import distributed
from polyclip.core.progress import Progress
from polyclip.core.threads import open_workers
from polyclip.data.captions import normalize_captions
from polyclip.data.corpus import Corpus, load_corpus
from polyclip.data.sampling_weights import HUMAN, select_human
from polyclip.data.types import Row
from polyclip.errors import DataError
from polyclip.evaluation.results import Score
from polyclip.evaluation.retrieval import BenchmarkReport, Items, Request, score_both_directions
from polyclip.evaluation.shares import score_each
from polyclip.languages.normalize import find_pack
from polyclip.languages.schema import list_languages, load_language
from polyclip.models.aligner import PolyCLIP

MIXED = "mixed-styles"
FEWEST = 30  # captions; with fewer the interval is meaningless
PLAIN = {"Flags", "Symbols"}
SMALL = 1 << 22  # pairs of a query and an image, for which one core is enough


def score(aligner: PolyCLIP, request: Request) -> BenchmarkReport:
    """Score every requested language; by default the trained ones and those that name 30 concepts of the split.

    Args:
        aligner: The model to score.
        request: Languages, split and corpus; languages that the model was trained on.

    Returns:
        Scores of every language under every protocol and in both directions, counts, and notes.

    Raises:
        DataError: No language names a concept of the split.

    """
    corpus = load_corpus(request.corpus)
    rows, few = read_named_rows(corpus, request)
    galleries, categories = build_galleries(aligner, corpus, request.split)
    embeddings = {code: aligner.text.unit(pooled) for code, pooled in encode_names(aligner, rows).items()}
    with Progress("scoring", len(distributed.share_items(list(rows)))) as progress:

        def one(code: str) -> list[Score]:
            text = Items(embeddings[code], [row.concept for row in rows[code]], [row.group for row in rows[code]])
            facts = {"benchmark": corpus.name, "split": request.split, "language": code, "seen": request.is_seen(code)}
            scores = score_protocols(text, galleries, categories, facts)
            progress.advance(1)
            return scores

        most = max(map(len, rows.values())) * max(len(gallery.keys) for gallery in galleries.values())
        scores = score_alone(rows, one, most)
    why = f"no captions in split {request.split!r}" if request.languages else f"fewer than {FEWEST} names in this split"
    notes = [f"without score, {why}: {', '.join(few)}"] if few else []
    machine = [code for code, found in rows.items() if all(row.provenance != HUMAN for row in found)]
    notes += [f"machine-translated names, not human captions: {', '.join(machine)}"] if machine else []
    return BenchmarkReport(
        scores,
        {
            "captions": sum(map(len, rows.values())),
            "pictures": sum(len(gallery.keys) for name, gallery in galleries.items() if name != MIXED),
        },
        notes,
        [language.code for language in request.languages if language.code in few],
        embeddings,
    )


def score_alone(codes: Iterable[str], one: Callable[[str], list[Score]], pairs: int) -> list[Score]:
    """Score each language; in a thread whose operations are not shared among cores, where they are small.

    With a core taken by other work, waiting for each other takes several times as long as the operations.

    Args:
        codes: Language codes in the order of the scores.
        one: Scores one language.
        pairs: Of a query and an image, in one language at most.

    """
    if pairs > SMALL:
        return score_each(codes, one)
    with open_workers(1) as worker:
        return score_each(codes, lambda code: worker.submit(one, code).result())


def read_named_rows(corpus: Corpus, request: Request) -> tuple[dict[str, list[Row]], list[str]]:
    """Read the rows of every language to be scored, with their first captions alone.

    Args:
        corpus: The corpus to read.
        request: Languages and split; no languages means all of the corpus. Rows that it has are not read again.

    Returns:
        Rows by language, and the codes of the languages that name too few concepts.

    Raises:
        DataError: No language is left.

    """
    if request.corpus in request.rows:
        return request.rows[request.corpus]
    locales = {language.code: corpus.get_locale(language) for language in request.languages} or list_locales(corpus)
    rows = {code: read_names(corpus, code, locale, request.split) for code, locale in locales.items()}
    least = FEWEST if not request.languages else 1
    few = sorted(code for code, found in rows.items() if len(found) < (1 if request.is_seen(code) else least))
    rows = {code: found for code, found in rows.items() if code not in few}
    if not rows:
        raise DataError(
            f"None of the languages {', '.join(few)} names {least} concepts of split {request.split!r} in corpus "
            f"{corpus.name!r}."
        )
    return rows, few


def read_names(corpus: Corpus, code: str, locale: str, split: str) -> list[Row]:
    """Read the names of a split in one language: the first caption of each row, normalized."""
    rows = select_human(corpus.reader.read(corpus.folder, locale, split))
    return normalize_captions([replace(row, captions=row.captions[:1]) for row in rows], find_pack(code))


def encode_names(aligner: PolyCLIP, rows: dict[str, list[Row]]) -> dict[str, Float[Tensor, "name width"]]:
    """Encode every name with the text encoder, before the projection head.

    Args:
        aligner: The model whose text encoder is used; features come from the cache where it has them.
        rows: Rows by language; their first captions are encoded.

    Returns:
        Pooled features by language, [name, width].

    """
    names = {code: [row.captions[0] for row in found] for code, found in rows.items()}
    lengths = [len(found) for found in names.values()]
    flat = aligner.text.encode_features(
        [name for found in names.values() for name in found],
        f"names in {len(names)} languages",
        keep=True,
        sections=lengths,
    )
    return dict(zip(names, flat.split(lengths), strict=True))


def list_locales(corpus: Corpus) -> dict[str, str]:
    """List every language of the corpus: code of the pack, or the locale itself where there is no pack."""
    packs = {load_language(code).cldr: code for code in list_languages()}
    return {packs.get(locale, locale): locale for locale in corpus.reader.languages(corpus.folder)}


def build_galleries(aligner: PolyCLIP, corpus: Corpus, split: str) -> tuple[dict[str, Items], dict[str, str]]:
    """Embed the images of a split.

    Args:
        aligner: The model whose vision encoder is used.
        corpus: The corpus to read.
        split: Name of the split.

    Returns:
        Galleries by protocol, the headline protocol first, and the category of each concept.

    """
    concepts = corpus.reader.split_concepts(corpus.folder, split)
    galleries = {}
    for style in corpus.reader.styles(corpus.folder):
        drawn = corpus.reader.pictures(corpus.folder, style)
        kept = [concept for concept in concepts if concept in drawn]
        embeddings = aligner.vision.embed([drawn[concept] for concept in kept], f"{split} images ({style})", keep=True)
        galleries[style] = Items(embeddings, kept, [concepts[concept].group for concept in kept])
    whole = {MIXED: mix_styles(galleries), **galleries} if len(galleries) > 1 else galleries
    return whole, {concept: row.category for concept, row in concepts.items()}


def mix_styles(galleries: dict[str, Items]) -> Items:
    """Build a gallery with one image per concept; the style is chosen by hash, the same for every model."""
    row_of = {style: {concept: row for row, concept in enumerate(gallery.keys)} for style, gallery in galleries.items()}
    chosen = choose_styles(row_of)
    drawn = [galleries[style].embeddings[row_of[style][concept]] for concept, style in chosen.items()]
    group = {
        concept: group
        for gallery in galleries.values()
        for concept, group in zip(gallery.keys, gallery.clusters, strict=True)
    }
    return Items(torch.stack(drawn), list(chosen), [group[concept] for concept in chosen])


def choose_styles(drawn: Mapping[str, Iterable[str]]) -> dict[str, str]:
    """Choose the style in which each concept is shown.

    Args:
        drawn: By style, the concepts that have an image in it.

    Returns:
        The style by concept, sorted by concept.

    """
    tickets: dict[str, list[tuple[str, str]]] = {}
    for style, concepts in drawn.items():
        for concept in concepts:
            tickets.setdefault(concept, []).append((hashlib.sha256(f"{concept} {style}".encode()).hexdigest(), style))
    return {concept: min(found)[1] for concept, found in sorted(tickets.items())}


def score_protocols(
    text: Items, galleries: dict[str, Items], categories: dict[str, str], facts: dict[str, Any]
) -> list[Score]:
    """Score one language under every protocol, the headline protocol first."""
    headline, gallery = next(iter(galleries.items()))
    scores = score_both_directions(text, gallery, protocol=headline, **facts)
    plain = {concept for concept, category in categories.items() if category not in PLAIN}
    if len(plain) < len(categories) and plain & set(text.keys):
        scores += score_both_directions(
            text.select(plain), gallery.select(plain), protocol=f"{headline}/no-flags-symbols", **facts
        )
    for style, other in galleries.items():
        if style != headline and set(other.keys) & set(text.keys):
            scores += score_both_directions(text, other, protocol=style, **facts)
    return scores
