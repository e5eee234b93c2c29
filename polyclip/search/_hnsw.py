"""Approximate nearest neighbours for many pictures: a graph proposes rows, their true vectors decide.

The library usearch (HNSW, Malkov & Yashunin, arXiv 1603.09320): pictures can be added and removed, and the file is mapped instead of read.
Text queries lie further from all pictures than pictures lie from each other, which makes them harder for a graph, so recall is measured for both.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from polyclip.core.progress import Progress
from polyclip.core.storage import writing
from polyclip.errors import DataError
from polyclip.search._format import Graph

CONNECTIVITY = 32  # neighbours of a row
EXPANSION_ADD = 128
EXPANSIONS = (64, 128, 256, 512)  # tried in turn when searching, until `ENOUGH` is found
ENOUGH = 0.98  # recall@10 of each kind of query
CANDIDATES = 4  # times as many as are asked for, at least `FEWEST`, are compared exactly
FEWEST = 64
ROWS = 4096  # added at once
BLOCK = 64  # queries searched at once


def grown(vectors: Float[Tensor, "row dim"], numbers: Int[Tensor, " row"], old: Path | None) -> Any:
    """The graph of these rows: of an older one what is no longer there is removed and what is new added, unless a fifth or more changed."""
    wanted = numbers.numpy().astype(np.uint64)
    if old is not None:
        graph = empty(vectors.shape[1])
        graph.load(old)
        have = np.asarray(graph.keys, dtype=np.uint64)
        gone, new = np.setdiff1d(have, wanted), np.setdiff1d(wanted, have)
        if 5 * (len(gone) + len(new)) < len(wanted):
            if len(gone):
                graph.remove(gone)
            return added(graph, vectors, wanted, np.flatnonzero(np.isin(wanted, new)))
    return added(empty(vectors.shape[1]), vectors, wanted, np.arange(len(wanted)))


def empty(dim: int) -> Any:
    """A graph without rows."""
    from usearch.index import Index as Usearch

    return Usearch(ndim=dim, metric="cos", dtype="f16", connectivity=CONNECTIVITY, expansion_add=EXPANSION_ADD)


def added(graph: Any, vectors: Float[Tensor, "row dim"], numbers: np.ndarray, rows: np.ndarray) -> Any:
    """The graph with some rows more."""
    with Progress("linking pictures", len(rows)) as progress:
        for start in range(0, len(rows), ROWS):
            some = rows[start : start + ROWS]
            graph.add(numbers[some], vectors[torch.from_numpy(some)].numpy(), threads=torch.get_num_threads())
            progress.advance(len(some))
    return graph


def saved(graph: Any, path: Path) -> None:
    """Whole or not at all."""
    with writing(path, what="the graph of the index") as temporary:
        graph.save(temporary)


def opened(path: Path, facts: Graph, dim: int) -> Any:
    """The graph, mapped from disk.

    Raises DataError where it is damaged.
    """
    graph = empty(dim)
    try:
        graph.view(path)
    except Exception as error:  # noqa: BLE001, the library raises plain exceptions
        raise DataError(f"{path} is damaged ({error}). Remove it and its index, and index again.") from error
    graph.expansion_search = facts.expansion
    return graph


def proposed(
    graph: Any, numbers: Int[Tensor, " row"], query: Float[Tensor, "query dim"], top: int
) -> list[Int[Tensor, " candidate"]]:
    """Rows worth comparing with each query, in ascending order."""
    wanted = min(len(graph), max(FEWEST, CANDIDATES * top))
    found = graph.search(query.numpy(), wanted, threads=torch.get_num_threads())
    many = [found] if len(query) == 1 and not hasattr(found, "counts") else [found[row] for row in range(len(query))]
    table = numbers.numpy()
    return [
        torch.from_numpy(np.sort(np.searchsorted(table, np.asarray(match.keys).astype(np.int64)))) for match in many
    ]


def measured(
    graph: Any,
    vectors: Float[Tensor, "row dim"],
    numbers: Int[Tensor, " row"],
    queries: Mapping[str, Float[Tensor, "query dim"]],
) -> Graph:
    """The smallest expansion that finds enough of the exact ten best, and how much it finds, for each kind of query."""
    top = min(10, len(vectors))
    exact = {
        kind: torch.cat([(block @ vectors.T).topk(top).indices for block in rows.split(BLOCK)])
        for kind, rows in queries.items()
    }
    recall: dict[str, float] = {}
    for expansion in EXPANSIONS:
        graph.expansion_search = expansion
        recall = {kind: share(graph, vectors, numbers, rows, exact[kind]) for kind, rows in queries.items()}
        if min(recall.values()) >= ENOUGH:
            break
    return Graph(expansion=expansion, recall_at_10=recall, queries={kind: len(rows) for kind, rows in queries.items()})


def share(
    graph: Any, vectors: Tensor, numbers: Tensor, queries: Float[Tensor, "query dim"], exact: Int[Tensor, "query top"]
) -> float:
    """Which share of the exact best are found; rows that are as similar as the last of them count too."""
    hits = 0
    for query, best, rows in zip(queries, exact, proposed(graph, numbers, queries, exact.shape[1]), strict=True):
        least = float((vectors[best] @ query).min()) - 1e-6
        hits += min(int((vectors[rows] @ query >= least).sum()), len(best))
    return hits / exact.numel()
