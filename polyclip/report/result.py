"""Results as JSON (schema 1). The schema is stable: other tools read it."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from polyclip.core.storage import write_text
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
    """Write a result atomically, after the ranks of its queries and before its retention.

    Args:
        path: The result file; ranks and knowledge.json are written beside it.
        result: The result.

    """
    table = to_table(result)
    outcomes = collect_outcomes(result.scores)
    if outcomes:
        table["origin"]["ranks"] = write_outcomes(get_ranks_path(path), outcomes)
    write_text(path, format_json(table), what="the result")
    if result.knowledge:
        kept = {"schema": 1, "knowledge": [asdict(line) for line in result.knowledge]}
        write_text(path.with_name("knowledge.json"), format_json(kept), what="what was kept")
