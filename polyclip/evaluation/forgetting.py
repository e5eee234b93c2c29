"""What an alignment leaves of what the towers knew: captions of one language that find the same in another, and ImageNet classes.

Text: each name of a language searches the names of a pivot, a language that was not trained either; recall@1. Before: the encoder as it
came, by cosine. After: the same encoder with what was trained inside it ("text encoder"), and the aligned vectors ("aligned captions").
Vision: share of pictures whose class, by the tower's own ImageNet classifier, is the one it was.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from polyclip.core.vectors import unit
from polyclip.data.corpus import Corpus
from polyclip.data.types import ImageSource, Row
from polyclip.evaluation.held_out import mixed_styles, pooled_names
from polyclip.evaluation.metrics import Bootstrap, ranks, recall
from polyclip.evaluation.results import Retention
from polyclip.models import feature_cache
from polyclip.models.aligner import PolyCLIP

PIVOTS = ("fr", "de", "es", "id")  # the first of these that was not trained and names enough


def knowledge(
    aligner: PolyCLIP, corpus: Corpus, rows: dict[str, list[Row]], trained: frozenset[str], split: str
) -> list[Retention]:
    """Every line that can be measured; none of text where no pivot is named.

    `rows` are the split's rows by language, as `benchmarks` reads them: the aligned vectors are then computed once for both.
    """
    return [*text_lines(aligner, rows, trained), *vision_line(aligner, corpus, split)]


def text_lines(aligner: PolyCLIP, rows: dict[str, list[Row]], trained: frozenset[str]) -> list[Retention]:
    """English, the languages trained besides it, and those never trained, each in the encoder's and in the aligned vectors."""
    pivot = next((code for code in PIVOTS if code in rows and code not in trained), None)
    if pivot is None:
        return []
    side = aligner.text
    names = [row.captions[0] for found in rows.values() for row in found]
    lengths = [len(found) for found in rows.values()]
    flat = feature_cache.encode(side.tower, names, f"names in {len(rows)} languages", lengths)
    before = dict(zip(rows, flat.split(lengths), strict=True))
    after = pooled_names(aligner, rows)
    groups = {
        "English": [code for code in rows if code == "en"],
        "trained": [code for code in rows if code in trained and code != "en"],
        "never trained": [code for code in rows if code not in trained and code not in (pivot, "en")],
    }
    vectors = {
        "text encoder": {code: unit(found) for code, found in after.items()},
        "aligned captions": {code: side.unit(found) for code, found in after.items()},
    }
    start = {code: unit(found) for code, found in before.items()}
    return [
        compared(
            part,
            f"{group} ({len(codes)}) -> {pivot}",
            found(start, rows, codes, pivot),
            found(now, rows, codes, pivot),
            rows,
            codes,
            pivot,
        )
        for part, now in vectors.items()
        for group, codes in groups.items()
        if codes
    ]


def found(
    vectors: dict[str, Tensor], rows: dict[str, list[Row]], codes: Sequence[str], pivot: str
) -> Float[Tensor, " query"]:
    """1 where a name finds the pivot's name of its concept first, else 0: all languages one after the other."""
    place = {row.concept: number for number, row in enumerate(rows[pivot])}
    hits = []
    for code in codes:
        asked = [number for number, row in enumerate(rows[code]) if row.concept in place]
        keys = torch.tensor([place[rows[code][number].concept] for number in asked])
        hits.append(recall(ranks(vectors[code][asked], vectors[pivot], keys, torch.arange(len(place))), 1))
    return torch.cat(hits)


def compared(
    part: str,
    question: str,
    before: Tensor,
    after: Tensor,
    rows: dict[str, list[Row]],
    codes: Sequence[str],
    pivot: str,
) -> Retention:
    """The change and its interval: concept groups are redrawn with all their languages."""
    known = {row.concept for row in rows[pivot]}
    clusters = [row.group for code in codes for row in rows[code] if row.concept in known]
    return line(part, question, before.numpy(), after.numpy(), clusters)


def line(part: str, question: str, before: np.ndarray, after: np.ndarray, clusters: Sequence[str]) -> Retention:
    """Means before and after, and the bootstrap interval of their difference."""
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


def vision_line(aligner: PolyCLIP, corpus: Corpus, split: str) -> list[Retention]:
    """Agreement of the ImageNet classifier with itself; nothing for a tower that came without one."""
    side = aligner.vision
    if not hasattr(side.encoder, "classify"):
        return []
    concepts = corpus.reader.split_concepts(corpus.folder, split)
    drawn = {style: corpus.reader.pictures(corpus.folder, style) for style in corpus.reader.styles(corpus.folder)}
    shown = mixed_styles(
        {style: [concept for concept in concepts if concept in found] for style, found in drawn.items()}
    )
    pictures: list[ImageSource] = [drawn[style][concept] for concept, style in shown.items()]
    what = f"{split} pictures (mixed styles)"
    was = side.encoder.classify(feature_cache.encode(side.tower, pictures, what))
    now = side.encoder.classify(side.pooled(pictures, what, keep=True))
    same = (was == now).float().numpy()
    return [
        line(
            "vision tower",
            "same ImageNet class",
            np.ones_like(same),
            same,
            [concepts[concept].group for concept in shown],
        )
    ]
