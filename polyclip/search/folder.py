"""Search images with a query in any language: in a folder as it is now, or in an index."""

from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from polyclip.data.images import open_image
from polyclip.errors import DataError
from polyclip.models.aligner import PolyCLIP, load_model
from polyclip.search.confidence import count_different, measure_confidence
from polyclip.search.gallery import encode_folder
from polyclip.search.index import Index
from polyclip.search.query import build_hint, detect_query_language, read_trained_languages
from polyclip.search.ranking import CAPTION_WEIGHT
from polyclip.search.results import Hit, SearchResult

__all__ = ["SearchResult", "Hit", "search", "search_index"]


def embed_query(aligner: PolyCLIP, text: str, image: Path | None, language: str) -> Float[Tensor, "1 dim"]:
    """Embed a text, normalized by its language's pack, or an image file.

    Args:
        aligner: The model.
        text: Query text; "" with `image`.
        image: Image file; None with `text`.
        language: Code of the text's language; "" for none.

    Returns:
        One embedding [1, dim].

    Raises:
        DataError: Neither or both are given, or the image cannot be read.
        UnknownName: The language has no pack.

    """
    if (image is None) == (not text):
        raise DataError("Expected either a text query or an image with --picture FILE.")
    if image is not None:
        return aligner.encode_image([open_image(image)])
    return aligner.encode_text([text], language)


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
    gallery = encode_folder(folder, aligner, model, follow_links=follow_links)
    cosine = gallery.embeddings @ embedding
    order = cosine.sort(descending=True, stable=True).indices.tolist()
    hits = [Hit(gallery.paths[row], float(cosine[row])) for row in order[:top]]
    said = "" if image else build_hint(query, language, trained)
    sure = None
    if len(order) > 1 and not image:
        different = count_different(gallery.embeddings)
        sure = measure_confidence(float(cosine[order[0]]), cosine, len(order), different)
    return SearchResult(query or str(image), hits, len(order), gallery.problems, folder, spelt, said, confidence=sure)


def search_index(
    query: str,
    index: Index,
    top: int,
    language: str = "",
    image: Path | None = None,
    caption_weight: float = CAPTION_WEIGHT,
    *,
    fold: bool = False,
) -> SearchResult:
    """Search an index by text or by an image; no indexed image is opened.

    Args:
        query: Text in any language; "" with `image`.
        index: The index.
        top: Number of results, >= 1.
        language: Code of the query's language, for normalization. Default: the first trained language in the query's
            script.
        image: Image file to search by instead of text.
        caption_weight: Weight of the captions, in [0, 1]; no matter for an image.
        fold: Whether images that are the same are shown once.

    Returns:
        Up to `top` images, most similar first.

    Raises:
        UnknownName: The language has no pack.
        DataError: The query is empty, `image` cannot be read, or the weight is outside [0, 1].

    """
    trained = read_trained_languages(index.model)
    spelt = language if language or image else detect_query_language(query, trained)
    embedding = embed_query(index.load_aligner(), query, image, spelt)
    hits = index.search_text_embedding(embedding, top, 0.0 if image else caption_weight, fold=fold)
    said = "" if image else build_hint(query, language, trained)
    return SearchResult(
        query or str(image),
        hits,
        len(index),
        [],
        index.root,
        spelt,
        said,
        index.lookup_recall("pictures" if image else "texts", top, caption_weight),
        None if image else index.measure_confidence(embedding, caption_weight, hits[0].similarity if hits else None),
    )
