"""Search the pictures of a folder with a query in any language."""

from dataclasses import dataclass
from pathlib import Path

from polyclip.aligner import check_captions, load
from polyclip.errors import DataError
from polyclip.pictures import find_pictures, readable


@dataclass(frozen=True)
class Hit:
    """A picture and its cosine similarity with the query, in [-1, 1]."""

    path: Path
    similarity: float


@dataclass(frozen=True)
class Found:
    """The best pictures, how many were searched, and a sentence for each that could not be read."""

    query: str
    hits: list[Hit]
    searched: int
    problems: list[str]


def search(query: str, folder: Path, model: Path, top: int) -> Found:
    """The `top` pictures below `folder` that are most similar to `query`; features of unchanged pictures come from the cache.

    Raises DataError for an empty query, a folder without pictures, or one where none can be read.
    """
    check_captions([query])
    aligner = load(model)
    pictures, problems = readable(find_pictures(folder))
    if not pictures:
        raise DataError(f"None of the {len(problems)} pictures below {folder} can be read; the first: {problems[0]}")
    vectors = aligner.vision.embed(pictures, f"pictures of {folder}", keep=True)
    similarity = (vectors @ aligner.encode_text([query])[0]).tolist()
    order = sorted(range(len(pictures)), key=lambda row: -similarity[row])[:top]
    return Found(query, [Hit(Path(pictures[row].name), similarity[row]) for row in order], len(pictures), problems)
