"""Results as JSON (schema 1). The schema is stable: other tools read it."""

import json
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from polyclip.core.storage import write_atomically
from polyclip.evaluation.results import Result
from polyclip.report.means import compute_means
from polyclip.report.per_query import collect_outcomes, get_ranks_path, write_outcomes


def to_table(result: Result) -> dict[str, Any]:
    """Convert a result to its JSON object, with means over languages and without retention."""
    table = {"schema": 1, **asdict(result)}
    del table["knowledge"]
    return table | {"means": compute_means(result.scores)}


def format_json(table: dict[str, Any]) -> str:
    """Format an object as indented JSON."""
    return json.dumps(table, ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def write_result(path: Path, result: Result) -> None:
    """Write a result with the ranks of its queries and its retention: all of them, or none where the disk is full.

    Args:
        path: The result file; ranks and knowledge.json are written beside it.
        result: The result.

    """
    table = to_table(result)
    outcomes = collect_outcomes(result.scores)
    with ExitStack() as together:  # the last to be opened is the first to be moved into place
        whole = together.enter_context(write_atomically(path, what="the result"))
        if result.knowledge:
            kept = {"schema": 1, "knowledge": [asdict(line) for line in result.knowledge]}
            beside = write_atomically(path.with_name("knowledge.json"), what="what was kept")
            together.enter_context(beside).write_text(format_json(kept), encoding="utf-8")
        if outcomes:
            ranks = together.enter_context(write_atomically(get_ranks_path(path), what="the ranks of all queries"))
            table["origin"]["ranks"] = write_outcomes(ranks, outcomes)
        whole.write_text(format_json(table), encoding="utf-8")
