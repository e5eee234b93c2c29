"""The graph of a large index: its own copies of the rows are bytes, and graphs of half-precision numbers go on."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize
from usearch.index import Index as Usearch

from polyclip.errors import DataError
from polyclip.search import _graph
from polyclip.search._format import Graph
from polyclip.search._graph import open_graph, propose_rows
from polyclip.search._hnsw import compute_recall, save_graph, update_graph

DIM, ROWS = 48, 600
FACTS = Graph(expansion=128, recall_at_10={}, queries={})


@pytest.fixture
def rows() -> torch.Tensor:
    return normalize(torch.randn(ROWS, DIM), dim=1)


def recall(graph: Usearch, rows: torch.Tensor, queries: torch.Tensor) -> float:
    exact = (queries @ rows.T).topk(10).indices
    return compute_recall(graph, rows, torch.arange(len(rows)), queries, exact)


def test_rows_are_found_among_bytes(rows: torch.Tensor, tmp_path: Path) -> None:
    save_graph(update_graph(rows, torch.arange(ROWS), None), tmp_path / "graph")
    graph = open_graph(tmp_path / "graph", FACTS, DIM)
    assert str(graph.dtype).endswith("I8")
    assert recall(graph, rows, normalize(torch.randn(200, DIM), dim=1)) > 0.98
    for row in range(5):
        assert row in propose_rows(graph, np.arange(ROWS), rows[row : row + 1].numpy(), 1)[0]


def test_a_graph_of_half_precision_is_searched_and_updated(
    rows: torch.Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(_graph, "NUMBERS", "f16")
        save_graph(update_graph(rows[:550], torch.arange(550), None), tmp_path / "graph")
    queries = normalize(torch.randn(200, DIM), dim=1)
    assert recall(open_graph(tmp_path / "graph", FACTS, DIM), rows[:550], queries) > 0.98
    more = update_graph(rows, torch.arange(ROWS), tmp_path / "graph")
    assert str(more.dtype).endswith("F16") and len(more) == ROWS
    more.expansion_search = FACTS.expansion
    assert recall(more, rows, queries) > 0.98


def test_a_graph_of_other_embeddings_is_refused(rows: torch.Tensor, tmp_path: Path) -> None:
    save_graph(update_graph(rows[:20], torch.arange(20), None), tmp_path / "graph")
    with pytest.raises(DataError, match=f"of embeddings of length {DIM}, expected 50"):
        open_graph(tmp_path / "graph", FACTS, 50)
