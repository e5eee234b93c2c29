"""Search pictures with a query in any language: those of a folder as they are now, or of a ready index."""

from dataclasses import dataclass
from pathlib import Path

from polyclip.data.images import look_through, readable
from polyclip.errors import DataError
from polyclip.models.aligner import load_model
from polyclip.search.index import Hit, Index
from polyclip.search.query import hint, language_of, trained_on, vector_of

__all__ = ["Found", "Hit", "search", "search_index"]


@dataclass(frozen=True)
class Found:
    """The best pictures, how many were searched, a sentence for each that could not be read, and what a reader should know."""

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


def search(query: str, folder: Path, model: Path, top: int, language: str = "", picture: Path | None = None) -> Found:
    """The `top` pictures below `folder` that are most similar to `query` or `picture`; features of unchanged pictures come from the cache.

    The query is normalised as the pack of its language says: the one given, else the first trained one in whose script it is written.
    Raises UnknownName for a language without a pack, DataError for an empty query, a folder without pictures, or one where none can be read.
    """
    trained = trained_on(model)
    spelt = language if language or picture else language_of(query, trained)
    aligner = load_model(model)
    vector = vector_of(aligner, query, picture, spelt)[0]
    paths, unread = look_through(folder)
    pictures, problems = readable(paths)
    if not pictures:
        raise DataError(f"None of the {len(problems)} pictures below {folder} can be read; the first: {problems[0]}")
    similarity = (aligner.vision.embed(pictures, f"pictures of {folder}", keep=True) @ vector).tolist()
    order = sorted(range(len(pictures)), key=lambda row: -similarity[row])[:top]
    hits = [Hit(Path(pictures[row].name), similarity[row]) for row in order]
    said = "" if picture else hint(query, language, trained)
    return Found(query or str(picture), hits, len(pictures), [*unread, *problems], folder, spelt, said)


def search_index(query: str, index: Index, top: int, language: str = "", picture: Path | None = None) -> Found:
    """The same in a ready index; no picture of it is opened.

    Raises UnknownName for a language without a pack, DataError for an empty query and a picture that cannot be read.
    """
    trained = trained_on(index.model)
    spelt = language if language or picture else language_of(query, trained)
    vector = vector_of(index.aligner(), query, picture, spelt)
    hits = index.search(vector, top)[0]
    said = "" if picture else hint(query, language, trained)
    return Found(
        query or str(picture),
        hits,
        len(index),
        [],
        index.root,
        spelt,
        said,
        index.recall("pictures" if picture else "texts", top),
    )
