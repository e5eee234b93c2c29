"""A result as JSON, schema 1. The schema is stable: other tools read it."""

import json
from dataclasses import asdict
from pathlib import Path

from polyclip.records import Result
from polyclip.storage import write_text


def write_result(path: Path, result: Result) -> None:
    """Write `result` whole or not at all."""
    table = {"schema": 1, **asdict(result)}
    kept = table.pop("knowledge")
    write_text(path, json.dumps(table, ensure_ascii=False, indent=1, allow_nan=False) + "\n", what="the result")
    if kept:
        write_text(path.with_name("knowledge.json"), json.dumps({"schema": 1, "knowledge": kept}, ensure_ascii=False, indent=1) + "\n", what="what was kept")
