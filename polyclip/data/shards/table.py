"""A corpus in shards as a reader gives it: languages, rows and images, looked up in the mapped indexes.

A concept is an image, by the hash of its bytes: the same image in two shards is one concept with the captions of both.
Its split follows from that hash alone, so that no image is in two splits.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Int, UInt64
from PIL import Image

from polyclip.core.registry import find
from polyclip.core.storage import get_cache_folder
from polyclip.data.images import decode_image
from polyclip.data.shards.filesystem import Shard
from polyclip.data.shards.index import read_index
from polyclip.data.shards.scan import Catalogue, read_catalogue
from polyclip.data.types import ImageSource, Row
from polyclip.errors import DataError, UnknownName

STYLE = "pictures"
SPLITS = ("train", "validation", "test")  # as in polyclip.data.splits
JUDGES = 50_000  # images of validation or test at most: more make a score no surer, and are compared with each other
WHOLE = 2.0**64


@dataclass(frozen=True)
class ShardTable:
    """The indexes of all shards as one table.

    Numbers of samples and captions are in memory, about 30 bytes a pair; texts, keys and hashes stay on disk.
    """

    catalogue: Catalogue
    samples: pa.Table  # as in index.SCHEMA, mapped
    starts: Int[np.ndarray, " shard"]  # row of each shard's first sample
    concept: Int[np.ndarray, " sample"]  # -1 for bad ones
    owner: Int[np.ndarray, " concept"]  # first sample that shows it, in their order
    ticket: UInt64[np.ndarray, " concept"]  # first eight bytes of its hash
    side: Int[np.ndarray, " concept"]  # place in SPLITS
    texts: pa.ChunkedArray  # of all captions, mapped
    caption_concept: Int[np.ndarray, " caption"]
    caption_language: Int[np.ndarray, " caption"]  # place in `languages`
    languages: list[str]

    def find_captions(self, language: str, split: str) -> Int[np.ndarray, " caption"]:
        """Find the captions of a language and split, in the shards' order.

        Args:
            language: The corpus' name of the language.
            split: "train", "validation" or "test".

        Returns:
            Places in `texts`.

        Raises:
            UnknownName: There is no such language or split.

        """
        if language not in self.languages:
            raise UnknownName(f"caption language in {self.catalogue.where}", language, self.languages)
        own = self.caption_language == self.languages.index(language)
        return np.flatnonzero(own & (self.side[self.caption_concept] == self.get_split_number(split)))

    def find_concepts(self, split: str) -> Int[np.ndarray, " concept"]:
        """Find the concepts of a split, in the shards' order."""
        return np.flatnonzero(self.side == self.get_split_number(split))

    def get_split_number(self, split: str) -> int:
        """The place of a split in `SPLITS`.

        Raises:
            UnknownName: There is no such split.

        """
        if split not in SPLITS:
            raise UnknownName(f"split in {self.catalogue.where}", split, SPLITS)
        return SPLITS.index(split)

    def get_name(self, concept: int) -> str:
        """The name of a concept: the hash of its image."""
        digest: bytes = self.samples["digest"][int(self.owner[concept])].as_py()
        return digest.hex()

    def get_images(self, concepts: Int[np.ndarray, " concept"]) -> list[ImageSource]:
        """The images of concepts, decoded when they are opened."""
        samples = self.owner[concepts]
        columns = [take(self.samples[name], samples) for name in ("key", "digest", "first", "second", "path")]
        shards = [self.catalogue.shards[number] for number in np.searchsorted(self.starts, samples, "right") - 1]
        found = []
        for shard, key, digest, first, second, path in zip(shards, *columns, strict=True):
            where = f"{shard.url}, {key}"
            found.append(
                ImageSource(
                    where, digest.hex(), partial(_open, self.catalogue.reader, shard, (first, second), path, where)
                )
            )
        return found


def _open(reader: str, shard: Shard, place: tuple[int, int], path: str, where: str) -> Image.Image:
    return decode_image(find("readers", reader).content(shard, place, path), where)


@lru_cache(maxsize=4)
def table(folder: Path) -> ShardTable:
    """Load the table of a corpus' cache folder.

    Raises:
        DataError: An index is damaged, or the validation or test split has more than 50,000 images.

    """
    catalogue = read_catalogue(folder)
    parts = [read_index(get_cache_folder() / file).replace_schema_metadata(None) for file in catalogue.indexes]
    samples = pa.concat_tables(parts)
    starts = np.cumsum([0, *(len(part) for part in parts[:-1])])
    concept, owner, ticket = _concepts(samples)
    side = _sides(ticket, catalogue)
    texts, caption_sample, caption_language, languages = _captions(samples)
    return ShardTable(
        catalogue,
        samples,
        starts,
        concept,
        owner,
        ticket,
        side,
        texts,
        concept[caption_sample],
        caption_language,
        languages,
    )


def _concepts(samples: pa.Table) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Concept of each sample in order of appearance; each one's first sample and first eight bytes of its hash."""
    good = np.flatnonzero(pc.equal(samples["problem"], "").to_numpy(zero_copy_only=False))
    heads = [
        np.frombuffer(chunk.buffers()[1], ">u8")[chunk.offset * 4 : (chunk.offset + len(chunk)) * 4 : 4]
        for chunk in samples["digest"].chunks
    ]
    ticket = np.concatenate(heads).astype(np.uint64)
    _, first, found = np.unique(ticket[good], return_index=True, return_inverse=True)
    order = np.argsort(first)
    number = np.empty(len(first), np.int32)
    number[order] = np.arange(len(first), dtype=np.int32)
    concept = np.full(len(samples), -1, np.int32)
    concept[good] = number[found]
    owner = good[first[order]]
    return concept, owner, ticket[owner]


def _sides(ticket: np.ndarray, catalogue: Catalogue) -> np.ndarray:
    shares = {"validation": catalogue.stored.validation, "test": catalogue.stored.test}
    place = ticket / WHOLE
    side = np.where(place < 1 - sum(shares.values()), 0, np.where(place < 1 - shares["test"], 1, 2)).astype(np.int8)
    for number, (split, share) in enumerate(shares.items(), 1):
        found = int((side == number).sum())
        if found > JUDGES:
            raise DataError(
                f"{catalogue.where}: {split} = {share} of {len(ticket):,} images are {found:,}, more than the limit "
                f"of {JUDGES:,}; "
                f"write [shards] {split} = {JUDGES / 10 / len(ticket):.1g}."
            )
    return side


def _captions(samples: pa.Table) -> tuple[pa.ChunkedArray, np.ndarray, np.ndarray, list[str]]:
    """All texts, and the sample and language of each; only numbers are copied."""
    chunks = samples["captions"].chunks
    spoken = [chunk.flatten().field("language") for chunk in chunks]
    languages = sorted({code for found in spoken for code in found.unique().to_pylist()})
    known = pa.array(languages, pa.string())
    places = [pc.index_in(found, value_set=known).to_numpy(zero_copy_only=False).astype(np.int16) for found in spoken]
    lengths = np.concatenate([np.diff(chunk.offsets.to_numpy()) for chunk in chunks])
    texts = pa.chunked_array([chunk.flatten().field("text") for chunk in chunks], pa.string())
    return texts, np.repeat(np.arange(len(samples), dtype=np.int32), lengths), np.concatenate(places), languages


def take(column: pa.ChunkedArray, places: Int[np.ndarray, " place"]) -> list[Any]:
    """Read the values at these places; only the pieces of the column around them are searched."""
    if not len(places):
        return []
    first, last = int(places.min()), int(places.max())
    return column.slice(first, last - first + 1).take(pa.array(places - first)).to_pylist()


class ConceptImages(Mapping[str, ImageSource]):
    """A mapping from every concept, by the hash of its image, to the image."""

    def __init__(self, of: ShardTable) -> None:
        self.of = of
        self.order = np.argsort(of.ticket)

    def __getitem__(self, concept: str) -> ImageSource:
        """Look up the image of a concept.

        Raises:
            KeyError: There is no such concept.

        """
        try:
            wanted = np.uint64(int(concept[:16], 16))
        except ValueError as error:
            raise KeyError(concept) from error
        place = int(np.searchsorted(self.of.ticket, wanted, sorter=self.order))
        if place == len(self.order) or self.of.get_name(number := int(self.order[place])) != concept:
            raise KeyError(concept)
        return self.of.get_images(np.array([number]))[0]

    def __iter__(self) -> Iterator[str]:
        return (self.of.get_name(number) for number in range(len(self)))

    def __len__(self) -> int:
        return len(self.of.owner)


def languages(folder: Path) -> list[str]:
    """List the languages with at least one caption: codes of packs, or the shards' own names."""
    return list(table(folder).languages)


def styles(folder: Path) -> tuple[str, ...]:
    """Return the only style: each concept has one image."""
    return (STYLE,)


def split_concepts(folder: Path, split: str) -> dict[str, Row]:
    """List every concept of a split, without captions.

    Raises:
        UnknownName: There is no such split.

    """
    found = table(folder)
    return {name: Row(name, name, "", "", ()) for name in map(found.get_name, found.find_concepts(split).tolist())}


def read(folder: Path, language: str, split: str) -> list[Row]:
    """Read the rows of one language and split, in the shards' order.

    Args:
        folder: The corpus' cache folder.
        language: The corpus' name of the language.
        split: "train", "validation" or "test".

    Returns:
        Rows with captions, repeated ones once.

    Raises:
        UnknownName: There is no such language or split.

    """
    found = table(folder)
    places = found.find_captions(language, split)
    own: dict[int, list[str]] = {}
    for concept, text in zip(found.caption_concept[places].tolist(), take(found.texts, places), strict=True):
        own.setdefault(concept, []).append(text)
    names = {concept: found.get_name(concept) for concept in own}
    return [
        Row(names[concept], names[concept], "", language, tuple(dict.fromkeys(own[concept]))) for concept in sorted(own)
    ]


def pictures(folder: Path, style: str) -> Mapping[str, ImageSource]:
    """Map every concept to its image, looked up on access.

    Raises:
        UnknownName: There is no such style.

    """
    if style != STYLE:
        raise UnknownName(f"image style in {table(folder).catalogue.where}", style, [STYLE])
    return ConceptImages(table(folder))
