"""Search images with a query in any language: in a folder as it is now, or in an index."""

from dataclasses import dataclass
from pathlib import Path

from polyclip.data.image_files import scan_folder, select_readable
from polyclip.errors import DataError
from polyclip.models.aligner import load_model
from polyclip.search.confidence import Confidence, measure_confidence
from polyclip.search.index import Hit, Index
from polyclip.search.query import build_hint, detect_query_language, embed_query, read_trained_languages

__all__ = ["SearchResult", "Hit", "search", "search_index"]


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


def search(
    query: str,
    folder: Path,
    model: Path,
    top: int,
    language: str = "",
    image: Path | None = None,
    *,
    follow_links: bool = False,
) -> SearchResult:
    """Search the images below a folder by text or by an image; features of unchanged images come from the cache.

    Args:
        query: Text in any language; "" with `image`.
        folder: Folder of images, searched recursively.
        model: Run folder of the model.
        top: Number of results, >= 1.
        language: Code of the query's language, for normalization. Default: the first trained language in the query's
            script.
        image: Image file to search by instead of text.
        follow_links: Whether links that lead out of the folder are followed.

    Returns:
        Up to `top` images, most similar first.

    Raises:
        UnknownName: The language has no pack.
        DataError: The query is empty, or no image is found or can be read.

    """
    trained = read_trained_languages(model)
    spelt = language if language or image else detect_query_language(query, trained)
    aligner = load_model(model)
    embedding = embed_query(aligner, query, image, spelt)[0]
    paths, unread = scan_folder(folder, follow_links=follow_links)
    images, problems = select_readable(paths)
    if not images:
        raise DataError(f"None of the {len(problems)} images below {folder} can be read; the first: {problems[0]}")
    cosine = aligner.vision.embed(images, f"images of {folder}", keep=True) @ embedding
    similarity = cosine.tolist()
    order = sorted(range(len(images)), key=lambda row: -similarity[row])[:top]
    hits = [Hit(Path(images[row].name), similarity[row]) for row in order]
    said = "" if image else build_hint(query, language, trained)
    best = sorted(similarity, reverse=True)
    sure = measure_confidence(best[0], best[1], cosine, len(best)) if len(best) > 1 and not image else None
    return SearchResult(
        query or str(image), hits, len(images), [*unread, *problems], folder, spelt, said, confidence=sure
    )


def search_index(query: str, index: Index, top: int, language: str = "", image: Path | None = None) -> SearchResult:
    """Search an index by text or by an image; no indexed image is opened.

    Args:
        query: Text in any language; "" with `image`.
        index: The index.
        top: Number of results, >= 1.
        language: Code of the query's language, for normalization. Default: the first trained language in the query's
            script.
        image: Image file to search by instead of text.

    Returns:
        Up to `top` images, most similar first.

    Raises:
        UnknownName: The language has no pack.
        DataError: The query is empty, or `image` cannot be read.

    """
    trained = read_trained_languages(index.model)
    spelt = language if language or image else detect_query_language(query, trained)
    embedding = embed_query(index.load_aligner(), query, image, spelt)
    hits = index.search_embeddings(embedding, top)[0]
    said = "" if image else build_hint(query, language, trained)
    return SearchResult(
        query or str(image),
        hits,
        len(index),
        [],
        index.root,
        spelt,
        said,
        index.lookup_recall("pictures" if image else "texts", top),
        None if image else index.measure_confidence(embedding),
    )
