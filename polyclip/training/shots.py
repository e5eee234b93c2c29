"""Few named pictures of a language: which of them, at random or so that they cover the pictures there are."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from polyclip.core.vectors import unit
from polyclip.data.captions import normalised
from polyclip.data.corpus import Corpus, load_corpus
from polyclip.data.pairs import Chosen, Sample, picture_rows
from polyclip.data.sampling_weights import HUMAN, by_machine, by_people, weight_of
from polyclip.data.types import Row
from polyclip.errors import DataError, UnknownName
from polyclip.languages.schema import Language
from polyclip.models import feature_cache
from polyclip.models.backbone import BackboneSpec

REHEARSAL = 0.5  # least share of the languages trained before
OFTEN = 4.0  # a shot is drawn at most so many times as often as if its language named every picture and had no other beside it
RANDOM, COVERAGE = "random", "coverage"


@dataclass(frozen=True, kw_only=True)
class Shots:
    """What a continued run is given of each new language."""

    count: int | None = None  # named pictures; None means all
    by: str = RANDOM
    seed: int = 0
    rehearse: bool = True  # the languages trained before, beside the new ones
    source: str = (
        ""  # empty: the corpus as it is; human: what people wrote; the path of a pack: its captions by machines
    )


def chosen(corpus: Corpus, languages: list[Language], shots: Shots, sample: Sample, tower: BackboneSpec) -> Chosen:
    """Rows of the training split for each new language, those of a smaller count among those of a larger.

    An epoch shows as many pairs as the new languages could name pictures, so that steps do not depend on the count.
    Raises DataError where a language names fewer than asked, UnknownName for a way of choosing that does not exist.
    """
    concepts = corpus.reader.split_concepts(corpus.folder, "train")
    place = ordering(corpus, list(concepts), shots, tower)
    rows = {language.code: source_rows(corpus, language, shots.source) for language in languages}
    kept: dict[str, frozenset[str]] = {}
    for code, there in rows.items():
        found = [row for row in there if weight_of(row.provenance, sample.mix) > 0]
        named = {row.concept for row in found}
        if shots.count is not None and shots.count > len(named):
            raise DataError(
                f"{shots.count} shots were asked for, but {code!r} names {len(named)} pictures of the training split in {where(corpus, shots)}."
            )
        rows[code], kept[code] = found, frozenset(sorted(named, key=lambda concept: place[concept])[: shots.count])
    share = sum(map(len, kept.values())) / (len(concepts) * len(languages))
    return Chosen(rows, kept, rehearsal(share), len(concepts) * len(languages))


def rehearsal(share: float) -> float:
    """How much the languages trained before weigh, in [0, 1), beside new ones that name a `share` of the pictures, in (0, 1].

    REHEARSAL, and more where shots are so few that they would wear out. Chosen on validation, see docs/fewshot.md.
    """
    return max(REHEARSAL, 1 - OFTEN * share)


def listed(chosen: Chosen) -> str:
    """shots.jsonl: one line for each picture and language, in the corpus's order."""
    rows = [row for code, found in chosen.rows.items() for row in found if row.concept in chosen.kept[code]]
    lines = [
        {"language": row.language, "concept": row.concept, "captions": row.captions, "provenance": row.provenance}
        for row in rows
    ]
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


def source_rows(corpus: Corpus, language: Language, source: str) -> list[Row]:
    """Training rows of a language, by whom `source` says.

    Raises DataError for a pack that has no caption by a machine in this language, or none of a picture of this corpus.
    """
    if source in ("", HUMAN):
        rows: list[Row] = normalised(corpus.reader.read(corpus.folder, corpus.locale(language), "train"), language)
        return by_people(rows) if source else rows
    pack = load_corpus(source)
    if pack.locale(language) not in pack.reader.languages(pack.folder):
        listed = ", ".join(pack.reader.languages(pack.folder)[:20])
        raise DataError(
            f"{source} has no captions in {language.code!r}; it has {listed}. Translate into {language.name} first: polyclip translate."
        )
    known = corpus.reader.split_concepts(corpus.folder, "train")
    found = by_machine(normalised(pack.reader.read(pack.folder, pack.locale(language), "train"), language))
    rows = [row for row in found if row.concept in known]
    if not rows:
        why = (
            f"none of its {len(found)} pictures is one of corpus {corpus.name!r}"
            if found
            else "people wrote all it has"
        )
        raise DataError(f"{source} has no machine-translated caption in {language.code!r} to train on: {why}.")
    return rows


def where(corpus: Corpus, shots: Shots) -> str:
    """`corpus 'emoji'`, or the pack that was translated."""
    return f"corpus {corpus.name!r}" if shots.source in ("", HUMAN) else shots.source


def ordering(corpus: Corpus, concepts: Sequence[str], shots: Shots, tower: BackboneSpec) -> dict[str, int]:
    """The place of each training concept in the order in which shots are taken: the same for every language.

    Raises UnknownName for anything but random and coverage.
    """
    ways: dict[str, Callable[[], list[str]]] = {
        RANDOM: lambda: sorted(
            concepts, key=lambda concept: hashlib.sha256(f"{shots.seed} {concept}".encode()).hexdigest()
        ),
        COVERAGE: lambda: [
            concepts[number] for number in farthest_first(picture_vectors(corpus, concepts, tower), shots.seed)
        ],
    }
    if shots.by not in ways:
        raise UnknownName("way to choose shots", shots.by, ways)
    return {concept: number for number, concept in enumerate(ways[shots.by]())}


def picture_vectors(corpus: Corpus, concepts: Sequence[str], tower: BackboneSpec) -> Float[Tensor, "concept dim"]:
    """Unit vectors: the frozen tower's features of each concept's pictures around their mean, averaged over styles."""
    pictures, rows, lengths = picture_rows(corpus, {concept: number for number, concept in enumerate(concepts)}, 1)
    table = feature_cache.encode(tower, pictures, "training pictures", lengths)
    table = unit(table - table.mean(0))
    return unit(torch.stack([table[own].mean(0) for own in rows]))


def farthest_first(vectors: Float[Tensor, "item dim"], seed: int) -> list[int]:
    """All items, each the one that is farthest from those before it, the first by seed: greedy k-centre.

    Gonzalez 1985: the first k of them cover all within at most twice the smallest radius that k items can. As active learning: Sener
    and Savarese 2018, arXiv 1708.00489, algorithm 1.
    """
    first = int(torch.randint(len(vectors), (1,), generator=torch.Generator().manual_seed(seed)))
    order, distance = [first], torch.full((len(vectors),), torch.inf)
    while len(order) < len(vectors):
        distance = torch.minimum(distance, (vectors - vectors[order[-1]]).norm(dim=1))
        distance[order] = -torch.inf
        order.append(int(distance.argmax()))
    return order
