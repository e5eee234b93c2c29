"""A result as JSON, schema 1. The schema is stable: other tools read it."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from polyclip.core.storage import write_text
from polyclip.evaluation.results import Result
from polyclip.report.means import compute_means
from polyclip.report.per_query import collect_outcomes, get_ranks_path, write_outcomes


def to_table(result: Result) -> dict[str, Any]:
    """A result as it stands in JSON, with the means over languages; without what was kept of the towers' knowledge."""
    table = {"schema": 1, **asdict(result)}
    del table["knowledge"]
    return table | {"means": compute_means(result.scores)}


def format_json(table: dict[str, Any]) -> str:
    """JSON that people can read."""
    return json.dumps(table, ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def write_result(path: Path, result: Result) -> None:
    """Write `result` whole or not at all, after the ranks of its queries into a file beside it."""
    table = to_table(result)
    outcomes = collect_outcomes(result.scores)
    if outcomes:
        table["origin"]["ranks"] = write_outcomes(get_ranks_path(path), outcomes)
    write_text(path, format_json(table), what="the result")
    if result.knowledge:
        kept = {"schema": 1, "knowledge": [asdict(line) for line in result.knowledge]}
        write_text(path.with_name("knowledge.json"), format_json(kept), what="what was kept")
