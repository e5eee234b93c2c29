"""What a search gives: hits, how sure the first one is, and what was skipped; without torch."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from polyclip.search.confidence import Confidence


@dataclass(frozen=True)
class Hit:
    """An image that was found.

    Attributes:
        path: The image.
        similarity: Its cosine with the query, in [-1, 1]; where it has a caption, the weighted mean of that and of the
            caption's cosine, put into the same scale.
        caption: The caption that is nearest to the query; empty where none was compared.
        from_caption: How much of `similarity` comes from it.
        alike: The same image in other files, where results are folded.

    """

    path: Path
    similarity: float
    caption: str = ""
    from_caption: float = 0.0
    alike: tuple[Path, ...] = ()

    @property
    def from_image(self) -> float:
        """How much of `similarity` comes from the image itself."""
        return self.similarity - self.from_caption


def count_copies(alike: Sequence[Sequence[int]] | None) -> int:
    """How many images of an index are the same as an earlier one: so many more hits are looked for to fold them."""
    return sum(len(rows) - 1 for rows in alike or ())


def fold_hits(
    hits: Sequence[Hit], root: Path, paths: Sequence[str], alike: Sequence[Sequence[int]] | None
) -> list[Hit]:
    """Show images that are the same once, with the others in `alike`.

    Args:
        hits: Hits, best first.
        root: Folder of the images.
        paths: Path of each row, from the root.
        alike: Rows that show the same image, as the manifest of an index has them.

    Returns:
        The first hit of each group, and all that are in none.

    """
    group = {root / paths[row]: rows for rows in alike or () for row in rows if 0 <= row < len(paths)}
    seen, found = set[int](), []
    for hit in hits:
        rows = group.get(hit.path, ())
        if rows and rows[0] in seen:
            continue
        seen.update(rows[:1])
        others = tuple(root / paths[row] for row in rows if 0 <= row < len(paths) and root / paths[row] != hit.path)
        found.append(replace(hit, alike=others))
    return found


@dataclass(frozen=True)
class SearchResult:
    """The best images, how many were searched, messages for unreadable files, and a hint for the user."""

    query: str
    hits: list[Hit]
    searched: int
    problems: list[str]
    root: Path
    language: str = ""  # whose pack normalised the query; empty: none
    hint: str = ""
    recall: float | None = (
        None  # recall@10 of the approximate search for this kind of query, in [0, 1]; None where it was exact
    )
    confidence: Confidence | None = None  # in the first hit; None for image queries and fewer than 8 images
