"""Folds of a small corpus: each image is tested once, by a model that was trained without it.

A part of a corpus is a corpus itself, named after the whole: `ours/corpus.toml#fold-2-of-5` tests fold 2, validates on
the next one and trains on the others; `ours/corpus.toml#all` trains on everything and holds nothing out.
"""

import copy
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

from polyclip.data.image_hash import find_near, hash_images, is_same_image
from polyclip.data.opened import OpenedCorpus
from polyclip.data.reader import Reader
from polyclip.data.splits import SPLITS, assign_split
from polyclip.data.types import ImageSource, Row
from polyclip.errors import UnknownName

C = TypeVar("C", bound=OpenedCorpus)
PART = re.compile(r"^(.+)#(all|fold-[1-9]\d*-of-[1-9]\d*)$")
ALL = "all"


def split_part(name: str) -> tuple[str, str]:
    """Split the name of a part into the corpus and the part; the part is empty for a whole corpus."""
    found = PART.match(name)
    return (found[1], found[2]) if found else (name, "")


@lru_cache(maxsize=32)
def open_part(corpus: C, part: str) -> C:
    """Open a part of a corpus.

    Args:
        corpus: The whole corpus, not in shards.
        part: `all`, or `fold-2-of-5`.

    Returns:
        A corpus with the same folder, languages and images, and other splits; its path is the name of the part.

    """
    opened = copy.copy(corpus)
    opened.path = corpus.path.with_name(f"{corpus.path.name}#{part}")
    opened.pack = corpus.pack.model_copy(update={"rows": {}})  # the whole's own splits have other counts
    if part == ALL:
        opened.reader = Regrouped(corpus.reader, dict.fromkeys(SPLITS, tuple(read_concepts(corpus))))
        return opened
    number, count = (int(text) for text in part.split("-")[1::2])
    fold = assign_folds(corpus, count)
    held = {"test": number - 1, "validation": number % count}
    members = {split: tuple(one for one, own in fold.items() if own == place) for split, place in held.items()}
    members["train"] = tuple(one for one, own in fold.items() if own not in held.values())
    opened.reader = Regrouped(corpus.reader, members)
    return opened


def read_concepts(corpus: OpenedCorpus) -> dict[str, Row]:
    """Read the concepts of all splits of a corpus, without captions."""
    return {
        concept: row for split in SPLITS for concept, row in corpus.reader.split_concepts(corpus.folder, split).items()
    }


def has_own_test(corpus: OpenedCorpus) -> bool:
    """Whether the corpus says itself what is tested: it has a test split, and its splits are not those of the hash."""
    found = {split: corpus.reader.split_concepts(corpus.folder, split) for split in SPLITS}
    by_hash = all(assign_split(row.group) == split for split, rows in found.items() for row in rows.values())
    return bool(found["test"]) and not by_hash


@lru_cache(maxsize=16)
def assign_folds(corpus: OpenedCorpus, count: int) -> dict[str, int]:
    """Assign each concept of a corpus to a fold, the same on every machine.

    Concepts of one group, with the same image or with near-duplicates of it stay together; such units are dealt in the
    order of their hash, each to the smallest fold.

    Args:
        corpus: The corpus.
        count: Number of folds, >= 3.

    Returns:
        Number of the fold by concept, from 0.

    """
    units: dict[str, list[str]] = {}
    for concept, unit in join_alike(corpus).items():
        units.setdefault(unit, []).append(concept)
    size = [0] * count
    found: dict[str, int] = {}
    for unit in sorted(units, key=lambda name: sha256(name.encode()).hexdigest()):
        place = size.index(min(size))
        size[place] += len(units[unit])
        found |= dict.fromkeys(units[unit], place)
    return {concept: found[concept] for concept in read_concepts(corpus)}


def join_alike(corpus: OpenedCorpus) -> dict[str, str]:
    """Name the unit of each concept: the first name of those that share a group or an image with it."""
    rows = read_concepts(corpus)
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        while parent.setdefault(name, name) != name:
            name = parent[name]
        return name

    for one, other in [(concept, f"group {row.group}") for concept, row in rows.items()] + list(find_alike(corpus)):
        first, second = sorted((root(one), root(other)))
        parent[second] = first
    return {concept: root(concept) for concept in rows}


def find_alike(corpus: OpenedCorpus) -> Iterator[tuple[str, str]]:
    """Find pairs of concepts whose images are the same file, or look the same."""
    wanted = read_concepts(corpus)
    owner: dict[str, str] = {}
    images: list[ImageSource] = []
    for style in corpus.reader.styles(corpus.folder):
        for concept, image in corpus.reader.pictures(corpus.folder, style).items():
            if concept in wanted:
                if image.key in owner:
                    yield concept, owner[image.key]
                owner[image.key] = concept
                images.append(image)
    hashes = hash_images(images, "images of all folds")
    thumbnails: dict = {}
    for one, other, _ in find_near(hashes.bits, hashes.bits):
        first, second = hashes.images[one], hashes.images[other]
        if one < other and owner[first.key] != owner[second.key] and is_same_image(first, second, thumbnails):
            yield owner[first.key], owner[second.key]


@dataclass(frozen=True)
class Regrouped:
    """A reader whose splits consist of other concepts than the inner reader's.

    Attributes:
        inner: Reader of the format.
        members: Concepts of each split.

    """

    inner: Reader
    members: dict[str, tuple[str, ...]]

    def languages(self, folder: Path) -> list[str]:
        """List the codes of languages with at least one caption."""
        return self.inner.languages(folder)

    def styles(self, folder: Path) -> Sequence[str]:
        """List the kinds of images that show the same concept."""
        return self.inner.styles(folder)

    def split_concepts(self, folder: Path, split: str) -> dict[str, Row]:
        """Read the concepts of a split, without captions.

        Raises:
            UnknownName: There is no such split.

        """
        if split not in self.members:
            raise UnknownName(f"split in {folder}", split, self.members)
        rows = {concept: row for own in SPLITS for concept, row in self.inner.split_concepts(folder, own).items()}
        return {concept: rows[concept] for concept in self.members[split]}

    def read(self, folder: Path, language: str, split: str) -> list[Row]:
        """Read the captions of one language and split, in the order of `split_concepts`.

        Raises:
            UnknownName: There are no captions in this language, or no such split.

        """
        wanted = self.split_concepts(folder, split)
        rows = {row.concept: row for own in SPLITS for row in self.inner.read(folder, language, own)}
        return [rows[concept] for concept in wanted if concept in rows]

    def pictures(self, folder: Path, style: str) -> dict[str, ImageSource]:
        """Find the images of a style, of all splits."""
        return self.inner.pictures(folder, style)


def check_folds(parts: Sequence[OpenedCorpus]) -> None:
    """Check that no concept, group or image is in two splits of a fold or tested in two folds, and that all are tested.

    Args:
        parts: All folds of one corpus.

    Raises:
        RuntimeError: One is, which is a defect of `assign_folds`.

    """
    tested: dict[str, int] = {}
    for number, part in enumerate(parts):
        place: dict[str, str] = {}
        for split in SPLITS:
            for thing in list_things(part, split):
                if place.setdefault(thing, split) != split:
                    raise RuntimeError(
                        f"{thing} is in {place[thing]} and {split} of fold {number + 1} of {part.name!r}."
                    )
        for thing in list_things(part, "test"):
            if tested.setdefault(thing, number) != number:
                raise RuntimeError(f"{thing} is tested in folds {tested[thing] + 1} and {number + 1} of {part.name!r}.")
    untested = {f"concept {concept}" for concept in read_concepts(parts[0])} - tested.keys()
    if untested:
        raise RuntimeError(f"{min(untested)} is in no fold of {parts[0].name!r}.")


def list_things(part: OpenedCorpus, split: str) -> set[str]:
    """List the concepts, groups and images of a split, by what must not be in another one."""
    rows = part.reader.split_concepts(part.folder, split)
    drawn = [part.reader.pictures(part.folder, style) for style in part.reader.styles(part.folder)]
    return (
        {f"concept {concept}" for concept in rows}
        | {f"group {row.group}" for row in rows.values()}
        | {f"image {images[concept].key}" for images in drawn for concept in rows if concept in images}
    )
