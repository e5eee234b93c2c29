"""Retention: how much of what the pretrained encoders could do is left after alignment.

Text: each name of a language searches the names of a pivot language that was not trained either; recall@1. Before: the
encoder as it came, by cosine similarity. After: the same encoder with its trained layers ("text encoder"), and the
aligned embeddings ("aligned captions"). Vision: share of images whose class, by the encoder's own ImageNet classifier,
is unchanged.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from polyclip.core.vectors import normalize
from polyclip.data.corpus import Corpus
from polyclip.data.types import ImageSource, Row
from polyclip.evaluation.held_out import choose_styles, encode_names
from polyclip.evaluation.metrics import Bootstrap, compute_ranks, recall
from polyclip.evaluation.results import Retention
from polyclip.models import feature_cache
from polyclip.models.aligner import PolyCLIP
from polyclip.models.backbone import ImageClassifier

Embedded = Mapping[str, Float[Tensor, "name dim"]]
PIVOTS = ("fr", "de", "es", "id")  # the first of these that was not trained and names enough


def compute_retention(
    aligner: PolyCLIP,
    corpus: Corpus,
    rows: dict[str, list[Row]],
    trained: frozenset[str],
    split: str,
    embedded: Embedded | None = None,
) -> list[Retention]:
    """Measure retention of the text encoder, the aligned captions and the vision encoder.

    Args:
        aligner: The aligned model.
        corpus: The corpus that the images are from.
        rows: Rows of the split by language, as the benchmark reads them; their embeddings are then computed only once.
        trained: Codes of the trained languages.
        split: Name of the split.
        embedded: Aligned embeddings of the rows by language, where they were computed before.

    Returns:
        One line for each part and group of languages; none for text where no pivot language is available.

    """
    return [
        *measure_text_retention(aligner, rows, trained, embedded),
        *measure_vision_retention(aligner, corpus, split),
    ]


def measure_text_retention(
    aligner: PolyCLIP, rows: dict[str, list[Row]], trained: frozenset[str], embedded: Embedded | None = None
) -> list[Retention]:
    """Measure retention for English, the other trained languages, and unseen languages.

    Args:
        aligner: The aligned model.
        rows: Rows of the split by language.
        trained: Codes of the trained languages.
        embedded: Aligned embeddings of the rows by language, where they were computed before.

    Returns:
        One line for each group, for the text encoder and for the aligned embeddings; empty without a pivot language.

    """
    pivot = next((code for code in PIVOTS if code in rows and code not in trained), None)
    if pivot is None:
        return []
    side = aligner.text
    names = [row.captions[0] for found in rows.values() for row in found]
    lengths = [len(found) for found in rows.values()]
    flat = feature_cache.encode(side.tower, names, f"names in {len(rows)} languages", lengths)
    before = dict(zip(rows, flat.split(lengths), strict=True))
    after = before if side.encoder is None else encode_names(aligner, rows)
    groups = {
        "English": [code for code in rows if code == "en"],
        "trained": [code for code in rows if code in trained and code != "en"],
        "never trained": [code for code in rows if code not in trained and code not in (pivot, "en")],
    }
    start = {code: normalize(found) for code, found in before.items()}
    embeddings = {
        "text encoder": start if after is before else {code: normalize(found) for code, found in after.items()},
        "aligned captions": embedded or {code: side.unit(found) for code, found in after.items()},
    }
    hits = {group: find_pivot_hits(start, rows, codes, pivot) for group, codes in groups.items() if codes}
    return [
        compare_hits(
            part,
            f"{group} ({len(codes)}) -> {pivot}",
            hits[group],
            hits[group] if now is start else find_pivot_hits(now, rows, codes, pivot),
            rows,
            codes,
            pivot,
        )
        for part, now in embeddings.items()
        for group, codes in groups.items()
        if codes
    ]


def find_pivot_hits(
    embeddings: Mapping[str, Tensor], rows: dict[str, list[Row]], codes: Sequence[str], pivot: str
) -> Float[Tensor, " query"]:
    """1 where a name retrieves the pivot's name of its concept first, else 0; the languages follow each other."""
    place = {row.concept: number for number, row in enumerate(rows[pivot])}
    hits = []
    for code in codes:
        asked = [number for number, row in enumerate(rows[code]) if row.concept in place]
        keys = torch.tensor([place[rows[code][number].concept] for number in asked])
        hits.append(
            recall(compute_ranks(embeddings[code][asked], embeddings[pivot], keys, torch.arange(len(place))), 1)
        )
    return torch.cat(hits)


def compare_hits(
    part: str,
    question: str,
    before: Tensor,
    after: Tensor,
    rows: dict[str, list[Row]],
    codes: Sequence[str],
    pivot: str,
) -> Retention:
    """Compare hits before and after alignment; concept groups are resampled with all their languages."""
    known = {row.concept for row in rows[pivot]}
    clusters = [row.group for code in codes for row in rows[code] if row.concept in known]
    return summarize_change(part, question, before.numpy(), after.numpy(), clusters)


def summarize_change(
    part: str, question: str, before: np.ndarray, after: np.ndarray, clusters: Sequence[str]
) -> Retention:
    """Compute the means before and after, and the bootstrap interval of their difference."""
    change = (after - before).astype(np.float64)
    low, high = Bootstrap(clusters).mean(change[:, None])
    return Retention(
        part,
        question,
        float(before.mean()),
        float(after.mean()),
        float(change.mean()),
        float(low[0]),
        float(high[0]),
        len(change),
    )


def measure_vision_retention(aligner: PolyCLIP, corpus: Corpus, split: str) -> list[Retention]:
    """Measure the agreement of the ImageNet classifier with itself; empty for an encoder without a classifier."""
    side = aligner.vision
    if not isinstance(side.encoder, ImageClassifier):
        return []
    concepts = corpus.reader.split_concepts(corpus.folder, split)
    drawn = {style: corpus.reader.pictures(corpus.folder, style) for style in corpus.reader.styles(corpus.folder)}
    shown = choose_styles(
        {style: [concept for concept in concepts if concept in found] for style, found in drawn.items()}
    )
    images: list[ImageSource] = [drawn[style][concept] for concept, style in shown.items()]
    what = f"{split} images (mixed styles)"
    before = feature_cache.encode(side.tower, images, what)
    after = side.encode_features(images, what, keep=True)
    was, now = (side.encoder.classify(features.to(side.device)).cpu() for features in (before, after))
    same = (was == now).float().numpy()
    return [
        summarize_change(
            "vision tower",
            "same ImageNet class",
            np.ones_like(same),
            same,
            [concepts[concept].group for concept in shown],
        )
    ]
