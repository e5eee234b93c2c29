"""Captions and pictures of a corpus in shards as training asks for them: sequences that look each one up in the index."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, overload

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from polyclip.data.augment import view
from polyclip.data.shards.order import Strata
from polyclip.data.shards.table import WHOLE, Table, taken
from polyclip.data.types import ImageSource
from polyclip.languages.normalize import normalise
from polyclip.languages.schema import Language

SPOTS = 16  # captions of one picture among which a second one is drawn: a picture that stands everywhere would make the table as wide as it has captions

T = TypeVar("T")
Spoken = dict[
    str, tuple[np.ndarray, np.ndarray]
]  # by code: places of the first caption of each picture, and of its further ones


class Looked(Sequence[T], ABC, Generic[T]):
    """A sequence whose items are made when they are asked for; of a slice, all of them."""

    length: int

    @abstractmethod
    def one(self, number: int) -> T:
        """Item of a number in range."""

    def many(self, numbers: range) -> list[T]:
        """Several."""
        return [self.one(number) for number in numbers]

    def __len__(self) -> int:
        return self.length

    @overload
    def __getitem__(self, number: int) -> T: ...

    @overload
    def __getitem__(self, number: slice) -> list[T]: ...

    def __getitem__(self, number: int | slice) -> T | list[T]:
        found = range(self.length)[number]
        return self.many(found) if isinstance(found, range) else self.one(found)


class Captions(Looked[str]):
    """Texts by language, normalised as each language's pack says."""

    def __init__(
        self, table: Table, places: Int[np.ndarray, " caption"], languages: list[Language], lengths: list[int]
    ) -> None:
        self.table, self.places, self.languages, self.length = table, places, languages, len(places)
        self.starts = np.cumsum([0, *lengths[:-1]])

    def one(self, number: int) -> str:
        """One text."""
        return self.many(range(number, number + 1))[0]

    def many(self, numbers: range) -> list[str]:
        """Several, read together."""
        where = np.asarray(numbers)
        texts = taken(self.table.texts, self.places[where])
        own = np.searchsorted(self.starts, where, "right") - 1
        return [normalise(text, self.languages[language]) for text, language in zip(texts, own.tolist(), strict=True)]


class Pictures(Looked[ImageSource]):
    """Pictures of some concepts, and then each further view of all of them."""

    def __init__(self, table: Table, concepts: Int[np.ndarray, " concept"], views: int) -> None:
        self.table, self.concepts, self.length = table, concepts, len(concepts) * views

    def one(self, number: int) -> ImageSource:
        """One picture."""
        return self.many(range(number, number + 1))[0]

    def many(self, numbers: range) -> list[ImageSource]:
        """Several, looked up together."""
        again, place = np.divmod(np.asarray(numbers), len(self.concepts))
        return [
            view(picture, number)
            for picture, number in zip(self.table.pictures(self.concepts[place]), again.tolist(), strict=True)
        ]


class Names(Looked[str]):
    """What the concepts are called: hashes."""

    def __init__(self, table: Table, concepts: Int[np.ndarray, " concept"]) -> None:
        self.table, self.concepts, self.length = table, concepts, len(concepts)

    def one(self, number: int) -> str:
        """One hash."""
        return self.table.name(int(self.concepts[number]))


@dataclass(frozen=True)
class Draw:
    """Which part of a language is drawn."""

    share: float  # of the concepts
    pairs: int | None  # named pictures of each language but English


def drawn_captions(table: Table, locales: Mapping[str, str], draw: Draw) -> Spoken:
    """Places of each language's training captions: of a smaller share those that are among a larger one's, chosen by the pictures' hashes."""
    most = draw.share * (1 - table.catalogue.stored.validation - table.catalogue.stored.test) * WHOLE
    found: Spoken = {}
    for code, locale in locales.items():
        places = table.captions(locale, "train") if locale in table.languages else np.empty(0, np.int64)
        ticket = table.ticket[table.caption_concept[places]]
        if draw.share < 1:
            places, ticket = places[ticket <= most], ticket[ticket <= most]
        if draw.pairs is not None and code != "en" and len(own := np.unique(ticket)) > draw.pairs:
            places = places[ticket < own[draw.pairs]]
        _, first = np.unique(table.caption_concept[places], return_index=True)
        named = np.zeros(len(places), bool)
        named[first] = True
        found[code] = (places[named], places[~named])
    return found


@dataclass(frozen=True)
class Parts:
    """All languages' captions in one row, and the pictures that they name."""

    places: Int[np.ndarray, " caption"]  # in the table's texts
    lengths: list[int]  # captions of each language
    concept: Int[Tensor, " caption"]  # place in `pictures`
    weight: Float[
        Tensor, " caption"
    ]  # how often each is drawn: a language's together as much as `weights` has, 1 on average
    pictures: Int[np.ndarray, " concept"]  # concepts of the table
    strata: Strata


def stratified(table: Table, spoken: Spoken, weights: Mapping[str, float], name_share: float) -> Parts:
    """Language by language, names first; names together are drawn as often as `name_share` has it, where there are further captions."""
    strata: list[tuple[np.ndarray, float]] = []
    for code, (names, further) in spoken.items():
        share = name_share if len(further) else 1.0
        strata += [(names, share * weights[code]), (further, (1 - share) * weights[code])]
    places = np.concatenate([places for places, _ in strata])
    used, concept = np.unique(table.caption_concept[places], return_inverse=True)
    weight = np.repeat([share / max(1, len(own)) for own, share in strata], [len(own) for own, _ in strata])
    starts = np.cumsum([0, *(len(own) for own, _ in strata)])
    drawn = [
        (int(start), len(own), share) for start, (own, share) in zip(starts, strata, strict=False) if len(own) and share
    ]
    order = Strata(*(list(column) for column in zip(*drawn, strict=True)))
    lengths = [len(names) + len(further) for names, further in spoken.values()]
    return Parts(places, lengths, torch.from_numpy(concept), torch.from_numpy(weight.astype(np.float32)), used, order)


def owned(concept: Int[Tensor, " caption"], number: int) -> tuple[Int[Tensor, "concept spot"], Int[Tensor, " concept"]]:
    """Rows of each concept's captions, at most 16 of them, and how many stand there; -1 fills up."""
    order = torch.argsort(concept, stable=True)
    count = torch.bincount(concept, minlength=number)
    place = torch.arange(len(order)) - (count.cumsum(0) - count)[concept[order]]
    kept = place < SPOTS
    rows = torch.full((number, min(SPOTS, int(count.max()))), -1)
    rows[concept[order][kept], place[kept]] = order[kept]
    return rows, count.clamp(max=SPOTS)


def shard_lengths(table: Table, concepts: Int[np.ndarray, " concept"]) -> list[int]:
    """How many of these pictures stand in each shard: no file of features holds pictures of two, so that another choice of shards finds them again."""
    shard: Any = np.searchsorted(table.starts, table.owner[concepts], "right") - 1
    return [int(count) for count in np.bincount(shard) if count]
