"""Captions and images of a corpus in shards for training: sequences that look each item up in the index."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, overload

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from polyclip.data.augment import make_augmentation
from polyclip.data.shards.order import Strata
from polyclip.data.shards.table import WHOLE, ShardTable, take
from polyclip.data.types import ImageSource
from polyclip.languages.normalize import normalize_text
from polyclip.languages.schema import Language

# The most captions of an image that a second one is sampled from: a frequent image would make the table as wide as it
# has captions.
SPOTS = 16

T = TypeVar("T")
Spoken = dict[
    str, tuple[np.ndarray, np.ndarray]
]  # by code: places of the first caption of each image, and of its further ones


class LazySequence(Sequence[T], ABC, Generic[T]):
    """A sequence whose items are made on access; a slice gives a list."""

    length: int

    @abstractmethod
    def get_one(self, number: int) -> T:
        """Make the item of a number in range."""

    def get_many(self, numbers: range) -> list[T]:
        """Make the items of several numbers."""
        return [self.get_one(number) for number in numbers]

    def __len__(self) -> int:
        return self.length

    @overload
    def __getitem__(self, number: int) -> T: ...

    @overload
    def __getitem__(self, number: slice) -> list[T]: ...

    def __getitem__(self, number: int | slice) -> T | list[T]:
        found = range(self.length)[number]
        return self.get_many(found) if isinstance(found, range) else self.get_one(found)


class ShardCaptions(LazySequence[str]):
    """Captions by language, normalized by each language's pack."""

    def __init__(
        self, table: ShardTable, places: Int[np.ndarray, " caption"], languages: list[Language], lengths: list[int]
    ) -> None:
        self.table, self.places, self.languages, self.length = table, places, languages, len(places)
        self.starts = np.cumsum([0, *lengths[:-1]])

    def get_one(self, number: int) -> str:
        """Read and normalize one caption."""
        return self.get_many(range(number, number + 1))[0]

    def get_many(self, numbers: range) -> list[str]:
        """Read and normalize several captions together."""
        where = np.asarray(numbers)
        texts = take(self.table.texts, self.places[where])
        own = np.searchsorted(self.starts, where, "right") - 1
        return [
            normalize_text(text, self.languages[language]) for text, language in zip(texts, own.tolist(), strict=True)
        ]


class ShardImages(LazySequence[ImageSource]):
    """Images of some concepts, followed by each further augmentation of all of them."""

    def __init__(self, table: ShardTable, concepts: Int[np.ndarray, " concept"], views: int) -> None:
        self.table, self.concepts, self.length = table, concepts, len(concepts) * views

    def get_one(self, number: int) -> ImageSource:
        """Look up the source of one image."""
        return self.get_many(range(number, number + 1))[0]

    def get_many(self, numbers: range) -> list[ImageSource]:
        """Look up the sources of several images together."""
        again, place = np.divmod(np.asarray(numbers), len(self.concepts))
        return [
            make_augmentation(image, number)
            for image, number in zip(self.table.get_images(self.concepts[place]), again.tolist(), strict=True)
        ]


class ShardConceptNames(LazySequence[str]):
    """Names of concepts, which are the hashes of their images."""

    def __init__(self, table: ShardTable, concepts: Int[np.ndarray, " concept"]) -> None:
        self.table, self.concepts, self.length = table, concepts, len(concepts)

    def get_one(self, number: int) -> str:
        """Look up the hash of one concept."""
        return self.table.get_name(int(self.concepts[number]))


@dataclass(frozen=True)
class TrainingSubset:
    """Which part of a language's captions is used for training."""

    share: float  # of the concepts
    pairs: int | None  # named images of each language but English


def select_captions(table: ShardTable, locales: Mapping[str, str], draw: TrainingSubset) -> Spoken:
    """Select each language's training captions; a smaller share is a subset of a larger one, by the hash of the images.

    Args:
        table: The corpus.
        locales: The corpus' name of each language, by code.
        draw: Which part is used.

    Returns:
        By code: places of the first caption of each image, and of the further ones.

    """
    most = draw.share * (1 - table.catalogue.stored.validation - table.catalogue.stored.test) * WHOLE
    found: Spoken = {}
    for code, locale in locales.items():
        places = table.find_captions(locale, "train") if locale in table.languages else np.empty(0, np.int64)
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
class TrainingCaptions:
    """Captions of all languages in one sequence, and the images that they name."""

    places: Int[np.ndarray, " caption"]  # in the table's texts
    lengths: list[int]  # captions of each language
    concept: Int[Tensor, " caption"]  # place in `images`
    weight: Float[Tensor, " caption"]  # sampling weights: those of a language sum to its weight, 1 on average
    images: Int[np.ndarray, " concept"]  # concepts of the table
    strata: Strata


def build_strata(
    table: ShardTable, spoken: Spoken, weights: Mapping[str, float], name_share: float
) -> TrainingCaptions:
    """Order captions by language, names first, and weigh them.

    Args:
        table: The corpus.
        spoken: Captions by language, from `select_captions`.
        weights: Weights of the languages.
        name_share: Share of names among a language's captions, where it has further ones.

    Returns:
        The captions, their weights and strata.

    """
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
    return TrainingCaptions(
        places, lengths, torch.from_numpy(concept), torch.from_numpy(weight.astype(np.float32)), used, order
    )


def group_captions(
    concept: Int[Tensor, " caption"], number: int
) -> tuple[Int[Tensor, "concept spot"], Int[Tensor, " concept"]]:
    """Group the rows of captions by concept, at most 16 each.

    Args:
        concept: Concept of each caption.
        number: Number of concepts.

    Returns:
        Rows of each concept's captions, filled with -1, and their numbers.

    """
    order = torch.argsort(concept, stable=True)
    count = torch.bincount(concept, minlength=number)
    place = torch.arange(len(order)) - (count.cumsum(0) - count)[concept[order]]
    kept = place < SPOTS
    rows = torch.full((number, min(SPOTS, int(count.max()))), -1)
    rows[concept[order][kept], place[kept]] = order[kept]
    return rows, count.clamp(max=SPOTS)


def count_per_shard(table: ShardTable, concepts: Int[np.ndarray, " concept"]) -> list[int]:
    """Count the images in each shard.

    No file of features holds images of two shards, so that another choice of shards finds them again.
    """
    shard: Any = np.searchsorted(table.starts, table.owner[concepts], "right") - 1
    return [int(count) for count in np.bincount(shard) if count]
