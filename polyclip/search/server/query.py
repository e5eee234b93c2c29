"""Parse a request and search the collections."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from PIL import Image

from polyclip.data.images import open_image
from polyclip.languages.normalize import is_visible
from polyclip.search.confidence import Confidence
from polyclip.search.results import Hit, fold_hits
from polyclip.search.server.collections import Catalog, Collection
from polyclip.search.server.errors import RequestError
from polyclip.search.server.language import DetectedLanguage, build_hint, detect_language
from polyclip.search.server.thumbnails import find_image_file

LONGEST = 1000  # characters of a query
TOP, MOST = 48, 480  # images a page, and at most
WIDEN = 8  # factor by which the search depth grows where a filter leaves too few images


@dataclass(frozen=True, kw_only=True, eq=False)
class SearchRequest:
    """A parsed request: a text, an uploaded image or an indexed image as query, and filters."""

    collections: tuple[Collection, ...]  # one, or two side by side
    text: str = ""
    image: Image.Image | None = None
    like: int | None = None  # row in the first collection
    lang: str = ""  # as given by the user; empty: detect it
    folder: str = ""
    least: float = -1.0  # similarity
    top: int = TOP
    fold: bool = True  # whether images that are the same are shown once

    @property
    def has_words(self) -> bool:
        """Whether the query is a text."""
        return self.image is None and self.like is None

    @property
    def is_empty(self) -> bool:
        """Whether the request has no query."""
        return self.has_words and not is_visible(self.text)


@dataclass(frozen=True)
class FoundImage:
    """An image of the answer; similarity and caption are those of `polyclip.search.results.Hit`."""

    row: int
    path: str  # from the index' root
    similarity: float
    caption: str = ""
    from_caption: float = 0.0
    alike: tuple[str, ...] = ()  # paths of the same image in other files


@dataclass(frozen=True, eq=False)
class ModelAnswer:
    """Results of one model, whether there are more, a hint about the query's language, and how likely the best image of
    the whole index is right (None for image queries, searches in a folder and fewer than 8 images).
    """

    collection: Collection
    hits: list[FoundImage]
    more: bool
    hint: str
    confidence: Confidence | None


@dataclass(frozen=True, eq=False)
class SearchAnswer:
    """Results of each model. `language` is that of a text query, empty for images; `seconds` excludes waiting in the
    queue.
    """

    question: SearchRequest
    language: DetectedLanguage
    columns: list[ModelAnswer]
    seconds: float


def parse_request(catalog: Catalog, fields: Mapping[str, str], image: Image.Image | None = None) -> SearchRequest:
    """Parse the fields q, lang, model, beside, like, folder, least, top and all.

    Args:
        catalog: The collections served.
        fields: Form fields or query parameters.
        image: Uploaded image, or None.

    Returns:
        The request.

    Raises:
        RequestError: (422) A value is invalid, or (404) a model or image does not exist.

    """
    names = [fields.get("model") or next(iter(catalog.collections)), fields.get("beside", "")]
    chosen = tuple(find_collection(catalog, name) for name in dict.fromkeys(names) if name)
    text, folder = fields.get("q", ""), fields.get("folder", "").strip("/")
    if len(text) > LONGEST:
        raise RequestError(422, f"The query has {len(text):,} characters, at most {LONGEST:,} are read.")
    if folder and not any(folder in each.folders for each in chosen):
        raise RequestError(422, f"No folder {folder!r} in this collection; remove the filter to search everywhere.")
    like = (
        int(parse_number("like", fields["like"], 0.0, float(len(chosen[0].index) - 1))) if fields.get("like") else None
    )
    least = parse_number("least", fields.get("least") or "-1", -1.0, 1.0)
    top = int(parse_number("top", fields.get("top") or str(TOP), 1.0, float(MOST)))
    lang = fields.get("lang", "").strip()
    return SearchRequest(
        collections=chosen,
        text=text,
        image=image,
        like=like,
        lang=lang,
        folder=folder,
        least=least,
        top=top,
        fold=fields.get("all", "").lower() not in ("1", "true"),
    )


def find_collection(catalog: Catalog, name: str) -> Collection:
    """Return the collection of that name.

    Raises:
        RequestError: (404) There is none.

    """
    if name not in catalog.collections:
        raise RequestError(404, f"No index is called {name!r} here; there are {', '.join(catalog.collections)}.")
    return catalog.collections[name]


def parse_number(name: str, text: str, low: float, high: float) -> float:
    """Parse a number within bounds.

    Raises:
        RequestError: (422) It is not a number or out of bounds.

    """
    try:
        value = float(text) if len(text) < 20 else float("nan")
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        raise RequestError(422, f"{name} is {text[:20]!r}, expected a number from {low:g} to {high:g}.")
    return value


def detect_request_language(asked: SearchRequest) -> DetectedLanguage:
    """Return the language of a request's words; none of an image.

    Raises:
        RequestError: (422) There is no query, or the language has no pack.

    """
    if asked.is_empty:
        raise RequestError(422, "Nothing to search for: give a text (q) or an image.")
    if not asked.has_words:
        return DetectedLanguage()
    return detect_language(asked.text, asked.lang, {code for each in asked.collections for code in each.model.trained})


def answer_request(asked: SearchRequest, language: DetectedLanguage) -> SearchAnswer:
    """Search all collections of a request. Models are not thread-safe: call from one thread at a time.

    Args:
        asked: The request.
        language: Of its words: `detect_request_language`.

    Returns:
        What each model finds.

    Raises:
        PolyclipError: The text or the image cannot be embedded, or (404) an indexed image is gone.

    """
    begun, words = time.perf_counter(), asked.has_words
    columns = []
    for each in asked.collections:
        embedding = each.model.embed_text(asked.text, language.code) if words else embed_image(each, asked)
        hits = find_matches(each, embedding, asked)
        sure = None
        if words and not asked.folder:
            best = hits[0].similarity if hits else None
            sure = each.index.measure_confidence(embedding, each.caption_weight, best)
        columns.append(
            ModelAnswer(
                each,
                hits[: asked.top],
                len(hits) > asked.top < MOST,
                build_hint(language, each.model.trained) if words else "",
                sure,
            )
        )
    return SearchAnswer(asked, language, columns, time.perf_counter() - begun)


def embed_image(each: Collection, asked: SearchRequest) -> Any:
    """Embed the image of a request; what the index knows of one of its own images is not embedded again.

    Raises:
        RequestError: (404) The indexed image is gone.

    """
    first, row = asked.collections[0], asked.like
    if row is None:
        assert asked.image is not None  # noqa: S101 (a request without words has one of the two)
        return each.model.embed_image(asked.image)
    path = find_image_file(first.index, row)
    return first.index.matrix[row : row + 1] if each.model is first.model else each.model.embed_image(open_image(path))


def find_matches(each: Collection, embedding: Any, asked: SearchRequest) -> list[FoundImage]:
    """Return the best images that pass the filters, best first, one more than requested where there are enough.

    The index knows no filters: it is searched deeper and deeper until enough hits pass.
    """
    reach, whole = asked.top + 2, len(each.index)
    weight = each.caption_weight if asked.has_words else 0.0
    while True:
        hits = each.index.search_text_embedding(embedding, min(reach, whole), weight)
        rows = [(each.find_row(hit), hit) for hit in hits if hit.similarity >= asked.least]
        found = [(row, hit) for row, hit in rows if passes_filters(each, row, asked)]
        if asked.fold:
            found = fold_found(each, found)
        if len(found) > asked.top or reach >= whole or len(rows) < len(hits):
            return [make_found(each, row, hit) for row, hit in found[: asked.top + 1]]
        reach *= WIDEN


def fold_found(each: Collection, found: list[tuple[int, Hit]]) -> list[tuple[int, Hit]]:
    """Show images that are the same once."""
    index, rows = each.index, {hit.path: row for row, hit in found}
    hits = fold_hits([hit for _, hit in found], index.root, index.paths, index.manifest.alike)
    return [(rows[hit.path], hit) for hit in hits]


def make_found(each: Collection, row: int, hit: Hit) -> FoundImage:
    """An image of the answer."""
    others = tuple(path.relative_to(each.index.root).as_posix() for path in hit.alike)
    return FoundImage(row, each.index.paths[row], hit.similarity, hit.caption, hit.from_caption, others)


def passes_filters(each: Collection, row: int, asked: SearchRequest) -> bool:
    """Whether an image is in the requested folder and is not the query image itself."""
    if each is asked.collections[0] and row == asked.like:
        return False
    return not asked.folder or PurePosixPath(each.index.paths[row]).is_relative_to(asked.folder)
