"""Find duplicate images: identical files, the same image at another size or quality, or images similar to a model."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from polyclip.core.progress import Progress
from polyclip.data.image_files import scan_folder
from polyclip.data.image_hash import TRIES, ImageHashes, find_near, hash_images, is_same_image
from polyclip.data.images import make_image_source
from polyclip.data.types import ImageSource
from polyclip.errors import DataError

KINDS = ("identical", "same picture", "similar")
BLOCK = 1024  # images compared at once with all


@dataclass(frozen=True)
class DuplicateGroup:
    """A group of duplicates, largest file first; `kind` is the weakest criterion that joins it."""

    kind: str
    paths: list[Path]
    similarity: float | None = (
        None  # least cosine of the pairs that joined it, in [-1, 1]; None where no model was asked
    )


@dataclass
class DisjointSets:
    """Rows joined by pairs (union-find); every tree is a group."""

    size: int
    parent: list[int] = field(init=False)
    reason: dict[int, int] = field(default_factory=dict)  # by root: place in KINDS
    least: dict[int, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.parent = list(range(self.size))

    def find_root(self, row: int) -> int:
        """Return the representative of a row's group."""
        while self.parent[row] != row:
            self.parent[row] = row = self.parent[self.parent[row]]
        return row

    def join(self, first: int, second: int, reason: int, similarity: float | None = None) -> None:
        """Merge the groups of two rows; a no-op where they are one already."""
        a, b = sorted((self.find_root(first), self.find_root(second)))
        if a == b:
            return
        self.parent[b] = a
        self.reason[a] = max(self.reason.get(a, 0), self.reason.get(b, 0), reason)
        known = [value for value in (self.least.get(a), self.least.get(b), similarity) if value is not None]
        if known:
            self.least[a] = min(known)

    def list_groups(self) -> Iterator[tuple[int, list[int]]]:
        """Return groups of two or more rows, by root."""
        found = defaultdict(list)
        for row in range(self.size):
            found[self.find_root(row)].append(row)
        return ((root, rows) for root, rows in found.items() if len(rows) > 1)


def read_images(folder: Path, *, follow_links: bool = False) -> tuple[list[ImageSource], list[str]]:
    """Read every image file below a folder by content.

    Args:
        folder: The folder.
        follow_links: Whether links that lead out of it are followed.

    Returns:
        The images, and one message for each file that cannot be read.

    Raises:
        DataError: There is no image.

    """
    paths, problems = scan_folder(folder, follow_links=follow_links)
    found = []
    with Progress("reading images", len(paths)) as progress:
        for path in paths:
            try:
                found.append(make_image_source(path))
            except DataError as error:
                problems.append(str(error))
            progress.advance(1)
    return found, problems


def find_duplicates(
    images: Sequence[ImageSource], embeddings: dict[str, Tensor], threshold: float, what: str
) -> tuple[list[DuplicateGroup], list[str]]:
    """Find groups of duplicates; nothing is changed on disk.

    Args:
        images: Images, hashed by content.
        embeddings: Embeddings by path; where given, images with a cosine of `threshold` or more are joined too.
        threshold: Minimum cosine, in [-1, 1].
        what: Label of the progress bar.

    Returns:
        The groups, and one message for each image that cannot be read.

    Raises:
        PolyclipError: The cache of hashes cannot be written.

    """
    found = hash_images(images, what)
    groups = DisjointSets(len(found.images))
    first: dict[str, int] = {}
    for row, image in enumerate(found.images):
        groups.join(first.setdefault(image.key, row), row, KINDS.index("identical"))
    for one, other in find_same_images(found, groups):
        groups.join(one, other, KINDS.index("same picture"))
    rows = [row for row, image in enumerate(found.images) if image.name in embeddings]
    if len(rows) > 1:
        for one, other, cosine in find_similar_pairs(
            torch.stack([embeddings[found.images[row].name] for row in rows]), threshold
        ):
            groups.join(rows[one], rows[other], KINDS.index("similar"), cosine)
    return list_groups(found.images, groups), found.problems


def find_same_images(found: ImageHashes, groups: DisjointSets) -> Iterator[tuple[int, int]]:
    """Yield pairs with near hashes and equal thumbnails; as many neighbours per image are compared as in the leakage
    check.
    """
    thumbnails: dict = {}
    tried: dict[int, int] = defaultdict(int)
    for one, other, _ in find_near(found.bits, found.bits):
        if one >= other or groups.find_root(one) == groups.find_root(other) or tried[other] >= TRIES:
            continue
        tried[other] += 1
        if is_same_image(found.images[one], found.images[other], thumbnails):
            yield one, other


def find_similar_pairs(embeddings: Float[Tensor, "image dim"], threshold: float) -> Iterator[tuple[int, int, float]]:
    """Yield pairs of rows with a cosine of `threshold` or more, most similar first within a block."""
    with Progress("comparing embeddings", len(embeddings)) as progress:
        for start in range(0, len(embeddings), BLOCK):
            cosine = embeddings[start : start + BLOCK] @ embeddings.T
            pairs = (cosine >= threshold).nonzero().tolist()
            yield from sorted(
                ((b, start + a, float(cosine[a, b])) for a, b in pairs if b < start + a), key=lambda pair: -pair[2]
            )
            progress.advance(min(BLOCK, len(embeddings) - start))


def list_groups(images: Sequence[ImageSource], groups: DisjointSets) -> list[DuplicateGroup]:
    """Return groups sorted by criterion, strongest first, then by first path."""
    found = [
        DuplicateGroup(
            KINDS[groups.reason[root]], sort_by_size(Path(images[row].name) for row in rows), groups.least.get(root)
        )
        for root, rows in groups.list_groups()
    ]
    return sorted(found, key=lambda group: (KINDS.index(group.kind), str(group.paths[0])))


def sort_by_size(paths: Iterable[Path]) -> list[Path]:
    """Sort paths by file size, largest first, then by name."""
    return sorted(paths, key=lambda path: (-path.stat().st_size, str(path)))
