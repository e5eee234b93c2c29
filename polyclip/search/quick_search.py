"""Search an index with one text, without torch."""

from pathlib import Path
from typing import Any

import numpy as np

from polyclip.languages.normalize import normalize_input
from polyclip.search._caption_table import CaptionTable, make_hit, read_captions
from polyclip.search._format import Manifest, find_index_folder, read_manifest, read_table
from polyclip.search._matrix import map_embeddings
from polyclip.search._origin import check_root, check_run
from polyclip.search.confidence import count_different, measure_confidence
from polyclip.search.query import build_hint, detect_query_language, read_trained_languages
from polyclip.search.quick.embed import embed_text
from polyclip.search.ranking import CAPTION_WEIGHT, Scores, check_weight, score_alone, score_images
from polyclip.search.results import SearchResult, count_copies, fold_hits

SCORED = 10_000  # rows, at most, that say how a query's scores are distributed


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
        The result; None where torch is needed: the model's text side is not one that `embed_text` runs, or a graph
        proposes the images.

    Raises:
        DataError: There is no index, it is damaged, its images are gone, the query is empty, or the weight is outside
            [0, 1].
        RunError: The run is gone, or is not the one that made the index.
        UnknownName: The language has no pack.

    """
    check_weight(caption_weight)
    place = find_index_folder(folder)
    manifest = read_manifest(place)
    run = model or Path(manifest.model)
    check_run(run, manifest.aligner, place)
    captions = read_captions(place, manifest) if manifest.captions and caption_weight else None
    if (manifest.graph is not None and captions is None) or top < 1:
        return None
    trained = read_trained_languages(run)
    spelt = language or detect_query_language(query, trained)
    embedding = embed_text(run, normalize_input([query], spelt)[0])
    scores = None if embedding is None else score_index(place, manifest, embedding, captions, caption_weight)
    if scores is None:
        return None
    paths = read_table(place, manifest, ("path",))["path"]
    root = (images or place / manifest.root).resolve()
    check_root(place, manifest, root, paths)
    total = scores.total
    order = np.argsort(-total, kind="stable")
    reach = top + (count_copies(manifest.alike) if fold else 0)
    hits = [make_hit(root / paths[row], scores, row, captions) for row in order[:reach].tolist()]
    hits = fold_hits(hits, root, paths, manifest.alike if fold else None)[:top]
    sure = None
    if len(total) > 1:
        different = manifest.different or count_different(map_embeddings(place, manifest))
        sample = total[:: -(-len(total) // SCORED)]
        captioned = 0.0 if captions is None else caption_weight * captions.measure_share(len(total))
        sure = measure_confidence(float(total[order[0]]), sample, len(total), different, captioned)
    said = build_hint(query, language, trained)
    return SearchResult(query, hits, len(paths), [], root, spelt, said, None, sure)


def score_index(
    place: Path, manifest: Manifest, embedding: Any, captions: CaptionTable | None, weight: float
) -> Scores | None:
    """Scores of all images of an index; None where its embeddings are not as an index has them."""
    if manifest.dim != len(embedding):
        return None
    rows = map_embeddings(place, manifest)
    image = rows @ embedding
    if captions is None:
        found = score_alone(image)
    else:
        said = map_embeddings(place, manifest, "caption_vectors")
        found = score_images(image, said @ embedding, captions.rows, weight, manifest.captions_usual)
    return found if np.isfinite(found.total).all() else None  # torch's side says what is wrong with them
