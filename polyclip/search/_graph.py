"""Approximate nearest-neighbour search in a graph that was made: it proposes rows, exact similarities rank them;
without torch.

The library usearch implements HNSW (Malkov & Yashunin, arXiv 1603.09320), and maps the graph from disk.
"""

import os
from pathlib import Path
from typing import Any

import numpy as np

from polyclip.errors import DataError
from polyclip.search._format import Graph

NUMBERS = "i8"  # of the graph's own copy of the rows; a graph that was made with others (f16) keeps them
CONNECTIVITY = 32  # neighbours of a row
EXPANSION_ADD = 128
CANDIDATES = 4  # factor of the requested hits that are ranked exactly, at least `FEWEST`
FEWEST = 64


def create_graph(dim: int) -> Any:
    """Create a graph without rows."""
    from usearch.index import Index as Usearch

    return Usearch(ndim=dim, metric="cos", dtype=NUMBERS, connectivity=CONNECTIVITY, expansion_add=EXPANSION_ADD)


def open_graph(path: Path, facts: Graph, dim: int) -> Any:
    """Open a graph, memory-mapped.

    Raises:
        DataError: The file is damaged, or of embeddings of another length.

    """
    graph = create_graph(dim)
    try:
        graph.view(path)
    except Exception as error:  # noqa: BLE001, the library raises plain exceptions
        raise DataError(f"{path} is damaged ({error}). Remove it and its index, and index again.") from error
    if graph.ndim != dim:  # the library takes what the file says
        raise DataError(
            f"{path} is of embeddings of length {graph.ndim}, expected {dim}. Remove it and its index, and index again."
        )
    graph.expansion_search = facts.expansion
    return graph


def propose_rows(graph: Any, numbers: Any, queries: Any, top: int) -> list[Any]:
    """Propose rows that may be the most similar ones.

    Args:
        graph: The graph.
        numbers: Number of each row in the graph, ascending, [row].
        queries: Embeddings [query, dim].
        top: Rows that are looked for.

    Returns:
        Candidate rows for each query, in ascending order.

    """
    from usearch.index import Matches

    wanted = min(len(graph), max(FEWEST, CANDIDATES * top))
    found = graph.search(np.asarray(queries), wanted, threads=min(len(queries), os.cpu_count() or 1))
    many = [found] if len(queries) == 1 and isinstance(found, Matches) else [found[row] for row in range(len(queries))]
    return [np.sort(np.searchsorted(numbers, np.asarray(match.keys).astype(np.int64))) for match in many]
