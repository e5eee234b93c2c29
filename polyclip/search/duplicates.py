"""Groups of pictures that are the same file, the same picture in another size or quality, or alike to a model."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from polyclip.core.progress import Progress
from polyclip.data.image_hash import TRIES, Hashes, alike, hashes, near
from polyclip.data.images import look_through, picture_of
from polyclip.data.types import ImageSource
from polyclip.errors import DataError

KINDS = ("identical", "same picture", "similar")
BLOCK = 1024  # pictures compared at once with all


@dataclass(frozen=True)
class Group:
    """Pictures of which each is a duplicate of another of the group, largest file first; `kind` is the weakest reason that holds it together."""

    kind: str
    paths: list[Path]
    similarity: float | None = (
        None  # least cosine of the pairs that joined it, in [-1, 1]; None where no model was asked
    )


@dataclass
class Groups:
    """Pictures joined by pairs: a forest in which every tree is a group."""

    size: int
    parent: list[int] = field(init=False)
    reason: dict[int, int] = field(default_factory=dict)  # by root: place in KINDS
    least: dict[int, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.parent = list(range(self.size))

    def root(self, row: int) -> int:
        """What stands for a row's group."""
        while self.parent[row] != row:
            self.parent[row] = row = self.parent[self.parent[row]]
        return row

    def join(self, first: int, second: int, reason: int, similarity: float | None = None) -> None:
        """The groups of two rows become one; nothing happens where they are one already."""
        a, b = sorted((self.root(first), self.root(second)))
        if a == b:
            return
        self.parent[b] = a
        self.reason[a] = max(self.reason.get(a, 0), self.reason.get(b, 0), reason)
        known = [value for value in (self.least.get(a), self.least.get(b), similarity) if value is not None]
        if known:
            self.least[a] = min(known)

    def members(self) -> Iterator[tuple[int, list[int]]]:
        """Groups of two or more, by root."""
        found = defaultdict(list)
        for row in range(self.size):
            found[self.root(row)].append(row)
        return ((root, rows) for root, rows in found.items() if len(rows) > 1)


def read_pictures(folder: Path) -> tuple[list[ImageSource], list[str]]:
    """Every picture file below a folder by its content, and a sentence for each that is not read.

    Raises DataError where there is no picture.
    """
    paths, problems = look_through(folder)
    found = []
    with Progress("reading pictures", len(paths)) as progress:
        for path in paths:
            try:
                found.append(picture_of(path))
            except DataError as error:
                problems.append(str(error))
            progress.advance(1)
    return found, problems


def duplicates(
    pictures: Sequence[ImageSource], vectors: dict[str, Tensor], threshold: float, what: str
) -> tuple[list[Group], list[str]]:
    """Groups of duplicates, and a sentence for each picture that cannot be read; nothing is changed on disk.

    `vectors` are unit vectors by path; where there are any, pictures with a cosine of `threshold` or more are joined too.
    Raises PolyclipError where the cache of hashes cannot be written.
    """
    found = hashes(pictures, what)
    groups = Groups(len(found.pictures))
    first: dict[str, int] = {}
    for row, picture in enumerate(found.pictures):
        groups.join(first.setdefault(picture.key, row), row, KINDS.index("identical"))
    for one, other in same_pictures(found, groups):
        groups.join(one, other, KINDS.index("same picture"))
    rows = [row for row, picture in enumerate(found.pictures) if picture.name in vectors]
    if len(rows) > 1:
        for one, other, cosine in similar(torch.stack([vectors[found.pictures[row].name] for row in rows]), threshold):
            groups.join(rows[one], rows[other], KINDS.index("similar"), cosine)
    return listed(found.pictures, groups), found.problems


def same_pictures(found: Hashes, groups: Groups) -> Iterator[tuple[int, int]]:
    """Pairs whose hashes are near and whose thumbnails agree; of each picture's nearest, so many are looked at as in the leakage lint."""
    thumbnails: dict = {}
    tried: dict[int, int] = defaultdict(int)
    for one, other, _ in near(found.bits, found.bits):
        if one >= other or groups.root(one) == groups.root(other) or tried[other] >= TRIES:
            continue
        tried[other] += 1
        if alike(found.pictures[one], found.pictures[other], thumbnails):
            yield one, other


def similar(vectors: Float[Tensor, "picture dim"], threshold: float) -> Iterator[tuple[int, int, float]]:
    """Pairs of rows with a cosine of `threshold` or more, most similar first within a block."""
    with Progress("comparing vectors", len(vectors)) as progress:
        for start in range(0, len(vectors), BLOCK):
            cosine = vectors[start : start + BLOCK] @ vectors.T
            pairs = (cosine >= threshold).nonzero().tolist()
            yield from sorted(
                ((b, start + a, float(cosine[a, b])) for a, b in pairs if b < start + a), key=lambda pair: -pair[2]
            )
            progress.advance(min(BLOCK, len(vectors) - start))


def listed(pictures: Sequence[ImageSource], groups: Groups) -> list[Group]:
    """Strongest reasons first, then by the first path."""
    found = [
        Group(
            KINDS[groups.reason[root]], largest_first(Path(pictures[row].name) for row in rows), groups.least.get(root)
        )
        for root, rows in groups.members()
    ]
    return sorted(found, key=lambda group: (KINDS.index(group.kind), str(group.paths[0])))


def largest_first(paths: Iterable[Path]) -> list[Path]:
    """By size of file, then by name."""
    return sorted(paths, key=lambda path: (-path.stat().st_size, str(path)))
