"""How close a text encoder already is to a language: names search the English names of the same concepts."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from polyclip.core.vectors import normalize
from polyclip.data.types import Row
from polyclip.evaluation.metrics import Bootstrap, compute_chance_recall, compute_ranks, recall
from polyclip.evaluation.tokenizer.findings import Closeness, RecallInterval
from polyclip.models import feature_cache
from polyclip.models.backbone import BackboneSpec

FEWEST = 30  # names; with fewer the interval is meaningless
BLOCK = 100  # names a file of the cache: another --captions finds those it shares
Names = Mapping[str, Row]  # concept -> row, in the order of `shuffle_rows`


def shuffle_rows(rows: Sequence[Row]) -> dict[str, Row]:
    """Return rows by concept, in an order by hash that is the same in every language and on every machine."""
    return dict(
        sorted(((row.concept, row) for row in rows), key=lambda pair: hashlib.sha256(pair[0].encode()).hexdigest())
    )


def select_common(own: Names, pivot: Names, most: int) -> list[str]:
    """Return the first `most` concepts that both languages name."""
    return [concept for concept in pivot if concept in own][:most]


def measure_closeness(
    tower: BackboneSpec, encoder: Any, named: Mapping[str, Names], pivots: Mapping[str, str], most: int
) -> dict[str, Closeness]:
    """Measure the closeness of every language that shares at least FEWEST concepts with its pivot.

    Args:
        tower: The text encoder.
        encoder: The same, built.
        named: Rows by language and concept, in the order of `shuffle_rows`.
        pivots: Pivot of each language.
        most: Largest number of names per language.

    Returns:
        Closeness by language.

    Raises:
        WeightsError: The encoder gives values that are not finite.

    """
    asked = {
        code: found
        for code, pivot in pivots.items()
        if len(found := select_common(named[code], named[pivot], most)) >= FEWEST
    }
    wanted: dict[str, list[str]] = {code: list(found) for code, found in asked.items()}
    for code, found in asked.items():
        pivot = pivots[code]
        deep = list(named[pivot]).index(found[-1]) + 1
        deepest = max(len(wanted.get(pivot, [])), -(-deep // BLOCK) * BLOCK)
        wanted[pivot] = list(named[pivot])[:deepest]
    embeddings = encode_names(
        tower,
        encoder,
        {code: [named[code][concept].captions[0] for concept in found] for code, found in wanted.items()},
    )
    place = {code: {concept: number for number, concept in enumerate(found)} for code, found in wanted.items()}
    close = {}
    for code, found in asked.items():
        own, other = (embeddings[side][[place[side][concept] for concept in found]] for side in (code, pivots[code]))
        close[code] = compute_closeness(
            own, other, [named[code][c] for c in found], [named[pivots[code]][c] for c in found], pivots[code]
        )
    return {code: found for code, found in close.items() if found is not None}


def encode_names(
    tower: BackboneSpec, encoder: Any, texts: Mapping[str, list[str]]
) -> dict[str, Float[Tensor, "name dim"]]:
    """Encode names by language, from the cache where they are there, else with the encoder that is built already."""
    flat = [text for found in texts.values() for text in found]
    sections = [min(BLOCK, len(found) - start) for found in texts.values() for start in range(0, len(found), BLOCK)]
    built = replace(tower, build=lambda: encoder)
    table = feature_cache.encode(built, flat, f"names in {len(texts)} languages", sections)
    return dict(zip(texts, normalize(table).split([len(found) for found in texts.values()]), strict=True))


def compute_closeness(
    own: Tensor, other: Tensor, rows: Sequence[Row], pivots: Sequence[Row], pivot: str
) -> Closeness | None:
    """Compute closeness from embeddings of the same concepts' names in both languages.

    Args:
        own: Embeddings of the language's names, [name, dim].
        other: Embeddings of the pivot's names, [name, dim].
        rows: Rows of the language.
        pivots: Rows of the pivot.
        pivot: Code of the pivot.

    Returns:
        Recall@1 both ways and mean cosines; None where fewer than FEWEST names are spelled differently in the pivot.

    """
    keys = torch.arange(len(rows))
    differ = torch.tensor(
        [
            row.captions[0].casefold() != other_row.captions[0].casefold()
            for row, other_row in zip(rows, pivots, strict=True)
        ]
    )
    if int(differ.sum()) < FEWEST:
        return None
    hits = [
        recall(compute_ranks(query[differ], gallery, keys[differ], keys), 1).double()
        for query, gallery in ((own, other), (other, own))
    ]
    columns = torch.stack([*hits, (hits[0] + hits[1]) / 2], dim=1).numpy()
    groups = [row.group for row in rows]
    low, high = Bootstrap([group for group, asked in zip(groups, differ.tolist(), strict=True) if asked]).mean(columns)
    to_pivot, from_pivot, mean = (
        RecallInterval(float(v), float(a), float(b)) for v, a, b in zip(columns.mean(0), low, high, strict=True)
    )
    apart = mark_different_groups(groups)
    unrelated = (own @ own.T)[apart].double()
    return Closeness(
        pivot=pivot,
        pool=len(rows),
        chance=compute_chance_recall(1.0, len(rows), 1),
        same=1 - float(differ.double().mean()),
        asked=int(differ.sum()),
        to_pivot=to_pivot,
        from_pivot=from_pivot,
        mean=mean,
        unrelated=float(unrelated.mean()),
        unrelated_deviation=float(unrelated.std()),
        related=float((own * other).sum(1).double().mean()),
        across=float((own @ other.T)[apart].double().mean()),
    )


def mark_different_groups(groups: Sequence[str]) -> Tensor:
    """Mark pairs of rows that belong to different concept groups, [row, row]."""
    number = {group: place for place, group in enumerate(dict.fromkeys(groups))}
    index = torch.tensor([number[group] for group in groups])
    return index[:, None] != index[None, :]


def is_finite(tower: BackboneSpec, encoder: Any, texts: Sequence[str]) -> bool:
    """Whether the encoder gives only finite values for `texts`; the cache is not used."""
    return bool(feature_cache.forward(encoder, texts, f"captions again with {tower.name}").isfinite().all())
