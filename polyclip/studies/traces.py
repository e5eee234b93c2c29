"""Validation scores of cells over steps, time and energy."""

from itertools import accumulate

from polyclip.studies.energy import WATTS
from polyclip.studies.figures import Record
from polyclip.studies.runner import Results


def trace(record: Record) -> list[Record]:
    """Trace the validation score of a cell over its cost.

    Args:
        record: Of a cell that was trained until validation rose no more.

    Returns:
        For each validation of the last phase its `step`, `validation`, and from the beginning of training, with the
        heads' phase, `seconds`, `processor_seconds` and `joules`.

    """
    log = record["log"]
    spent = {key: list(accumulate(line.get(key, 0.0) for line in log)) for key in ("seconds", "processor_seconds")}
    return [
        {
            "step": record["cell"]["long"]["every"] * line["epoch"],
            "validation": line["validation"],
            "seconds": spent["seconds"][number],
            "processor_seconds": spent["processor_seconds"][number],
            "joules": WATTS * spent["processor_seconds"][number],
        }
        for number, line in enumerate(log)
        if line["phase"] == log[-1]["phase"]
    ]


def find_best(record: Record) -> Record:
    """Find the point of a cell's curve with the best validation score, the first of several."""
    return max(trace(record), key=lambda point: point["validation"])


def collect_traces(results: Results) -> list[Record]:
    """Collect the validation curves of the cells that were trained until validation rose no more."""
    return [
        {"method": method, "start": start, "seed": record["cell"]["seed"], "points": trace(record)}
        for (method, start), records in results.records.items()
        for record in records
        if record["cell"].get("long") is not None
    ]
