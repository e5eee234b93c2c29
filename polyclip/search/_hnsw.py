"""Make the graph of a large index, which proposes rows that exact similarities rank (`_graph`), and measure its recall.

The library usearch implements HNSW (Malkov & Yashunin, arXiv 1603.09320): rows can be added and removed, and the file
is memory-mapped.
Text queries are farther from all images than images are from each other, which is harder for a graph, so recall is
measured for both.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from polyclip.core.progress import Progress
from polyclip.core.storage import write_atomically
from polyclip.search._format import Graph
from polyclip.search._graph import create_graph, propose_rows

EXPANSIONS = (64, 128, 256, 512)  # tried in turn until recall reaches `ENOUGH`
ENOUGH = 0.98  # recall@10 of each kind of query
ROWS = 4096  # added at once
BLOCK = 64  # queries searched at once


def update_graph(embeddings: Float[Tensor, "row dim"], numbers: Int[Tensor, " row"], old: Path | None) -> Any:
    """Return the graph of these rows: an older one is updated, or rebuilt where a fifth of the rows or more changed."""
    wanted = numbers.numpy().astype(np.uint64)
    if old is not None:
        graph = create_graph(embeddings.shape[1])
        graph.load(old)
        have = np.asarray(graph.keys, dtype=np.uint64)
        gone, new = np.setdiff1d(have, wanted), np.setdiff1d(wanted, have)
        if 5 * (len(gone) + len(new)) < len(wanted):
            if len(gone):
                graph.remove(gone)
            return add_rows(graph, embeddings, wanted, np.flatnonzero(np.isin(wanted, new)))
    return add_rows(create_graph(embeddings.shape[1]), embeddings, wanted, np.arange(len(wanted)))


def add_rows(graph: Any, embeddings: Float[Tensor, "row dim"], numbers: np.ndarray, rows: np.ndarray) -> Any:
    """Add rows to a graph and return it."""
    with Progress("linking images", len(rows)) as progress:
        for start in range(0, len(rows), ROWS):
            some = rows[start : start + ROWS]
            graph.add(numbers[some], embeddings[torch.from_numpy(some)].numpy(), threads=torch.get_num_threads())
            progress.advance(len(some))
    return graph


def save_graph(graph: Any, path: Path) -> None:
    """Write the graph atomically."""
    with write_atomically(path, what="the graph of the index") as temporary:
        graph.save(temporary)


def measure_recall(
    graph: Any,
    embeddings: Float[Tensor, "row dim"],
    numbers: Int[Tensor, " row"],
    queries: Mapping[str, Float[Tensor, "query dim"]],
) -> Graph:
    """Find the smallest expansion with enough recall@10, and measure the recall for each kind of query.

    Args:
        graph: The graph; its `expansion_search` is changed.
        embeddings: All rows.
        numbers: Number of each row in the graph.
        queries: Query embeddings by kind.

    Returns:
        The expansion, recall@10 by kind in [0, 1], and the number of queries.

    """
    top = min(10, len(embeddings))
    exact = {
        kind: torch.cat([(block @ embeddings.T).topk(top).indices for block in rows.split(BLOCK)])
        for kind, rows in queries.items()
    }
    recall: dict[str, float] = {}
    for expansion in EXPANSIONS:
        graph.expansion_search = expansion
        recall = {kind: compute_recall(graph, embeddings, numbers, rows, exact[kind]) for kind, rows in queries.items()}
        if min(recall.values()) >= ENOUGH:
            break
    return Graph(expansion=expansion, recall_at_10=recall, queries={kind: len(rows) for kind, rows in queries.items()})


def compute_recall(
    graph: Any,
    embeddings: Tensor,
    numbers: Tensor,
    queries: Float[Tensor, "query dim"],
    exact: Int[Tensor, "query top"],
) -> float:
    """Fraction of the exact best rows that the graph proposes; rows as similar as the last of them count as found."""
    hits, proposed = 0, propose_rows(graph, numbers.numpy(), queries.numpy(), exact.shape[1])
    for query, best, rows in zip(queries, exact, map(torch.from_numpy, proposed), strict=True):
        least = float((embeddings[best] @ query).min()) - 1e-6
        hits += min(int((embeddings[rows] @ query >= least).sum()), len(best))
    return hits / exact.numel()
