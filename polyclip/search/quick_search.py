"""Search an index with one text, without torch."""

from pathlib import Path
from typing import Any

import numpy as np

from polyclip.languages.normalize import normalize_input
from polyclip.search._format import Manifest, find_index_folder, read_manifest, read_table
from polyclip.search._origin import check_root, check_run
from polyclip.search.confidence import count_different, measure_confidence
from polyclip.search.query import build_hint, detect_query_language, read_trained_languages
from polyclip.search.quick.embed import embed_text
from polyclip.search.results import Hit, SearchResult

SCORED = 10_000  # rows, at most, that say how a query's scores are distributed
HEADER = 8  # bytes before a safetensors header, which hold its length


def search_quickly(
    query: str, folder: Path, images: Path | None, model: Path | None, top: int, language: str
) -> SearchResult | None:
    """Search an index by a text, as `polyclip.search.folder.search_index` does.

    Args:
        query: Text in any language.
        folder: The index, or a folder of images that holds one.
        images: Where the images are now, if they were moved.
        model: Where the run is now, if it was moved.
        top: Number of results, >= 1.
        language: Code of the query's language, for normalization.

    Returns:
        The result; None where torch is needed: the model's text side is not one that `embed_text` runs, or a graph
        proposes the images.

    Raises:
        DataError: There is no index, its images are gone, or the query is empty.
        RunError: The run is gone, or is not the one that made the index.
        UnknownName: The language has no pack.

    """
    place = find_index_folder(folder)
    manifest = read_manifest(place)
    run = model or Path(manifest.model)
    check_run(run, manifest.aligner, place)
    if manifest.graph is not None or top < 1:
        return None
    trained = read_trained_languages(run)
    spelt = language or detect_query_language(query, trained)
    embedding = embed_text(run, normalize_input([query], spelt)[0])
    rows = map_embeddings(place, manifest)
    if embedding is None or rows is None or rows.shape != (manifest.rows, len(embedding)):
        return None
    paths = read_table(place, manifest, ("path",))["path"]
    root = (images or place / manifest.root).resolve()
    check_root(place, manifest, root, paths)
    scores = rows @ embedding
    if not np.isfinite(scores).all():
        return None  # torch's side says what is wrong with them
    order = np.argsort(-scores, kind="stable")
    hits = [Hit(root / paths[row], float(scores[row])) for row in order[:top]]
    sure = None
    if len(scores) > 1:
        different = manifest.different or count_different(rows)
        sample = scores[:: -(-len(scores) // SCORED)]
        sure = measure_confidence(float(scores[order[0]]), sample, len(scores), different)
    said = build_hint(query, language, trained)
    return SearchResult(query, hits, len(paths), [], root, spelt, said, None, sure)


def map_embeddings(folder: Path, manifest: Manifest) -> Any:
    """Embeddings of an index [row, dim], mapped from disk; None where the file is not as an index writes it."""
    path = folder / manifest.file_name("vectors")
    with path.open("rb") as file:
        size = int.from_bytes(file.read(HEADER), "little")
    expected = HEADER + size + manifest.rows * manifest.dim * 4
    if path.stat().st_size != expected:
        return None
    return np.memmap(path, np.float32, "r", HEADER + size, (manifest.rows, manifest.dim))
