"""What a search gives: hits, how sure the first one is, and what was skipped; without torch."""

from dataclasses import dataclass
from pathlib import Path

from polyclip.search.confidence import Confidence


@dataclass(frozen=True)
class Hit:
    """An image and its cosine similarity with the query, in [-1, 1]."""

    path: Path
    similarity: float


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
