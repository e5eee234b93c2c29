"""Search an index with one text, without torch."""

from pathlib import Path

from polyclip.languages.normalize import normalize_input
from polyclip.search._format import find_index_folder, read_manifest
from polyclip.search._origin import check_run
from polyclip.search.index import Index
from polyclip.search.query import build_hint, detect_query_language, read_trained_languages
from polyclip.search.quick.embed import embed_text
from polyclip.search.ranking import CAPTION_WEIGHT
from polyclip.search.results import SearchResult


def search_quickly(
    query: str,
    folder: Path,
    images: Path | None,
    model: Path | None,
    top: int,
    language: str,
    caption_weight: float = CAPTION_WEIGHT,
    *,
    fold: bool = False,
) -> SearchResult | None:
    """Search an index by a text, as `polyclip.search.folder.search_index` does.

    Args:
        query: Text in any language.
        folder: The index, or a folder of images that holds one.
        images: Where the images are now, if they were moved.
        model: Where the run is now, if it was moved.
        top: Number of results, >= 1.
        language: Code of the query's language, for normalization.
        caption_weight: Weight of the captions, in [0, 1].
        fold: Whether images that are the same are shown once.

    Returns:
        The result; None where torch is needed, because the model's text side is not one that `embed_text` runs.

    Raises:
        DataError: There is no index, it is damaged, its images are gone, the query is empty, `top` is below 1, or the
            weight is outside [0, 1].
        RunError: The run is gone, or is not the one that made the index.
        UnknownName: The language has no pack.

    """
    place = find_index_folder(folder)
    manifest = read_manifest(place)
    run = model or Path(manifest.model)
    check_run(run, manifest.aligner, place)
    trained = read_trained_languages(run)
    spelt = language or detect_query_language(query, trained)
    embedding = embed_text(run, normalize_input([query], spelt)[0])
    if embedding is None or len(embedding) != manifest.dim:
        return None
    index = Index.open(place, images, run)
    hits = index.search_text_embedding(embedding[None], top, caption_weight, fold=fold)
    return SearchResult(
        query,
        hits,
        len(index),
        [],
        index.root,
        spelt,
        build_hint(query, language, trained),
        index.lookup_recall("texts", top, caption_weight),
        index.measure_confidence(embedding[None], caption_weight, hits[0].similarity if hits else None),
    )
