"""What a search gives: hits, how sure the first one is, and what was skipped; without torch."""

from dataclasses import dataclass
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

    """

    path: Path
    similarity: float
    caption: str = ""
    from_caption: float = 0.0

    @property
    def from_image(self) -> float:
        """How much of `similarity` comes from the image itself."""
        return self.similarity - self.from_caption


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
