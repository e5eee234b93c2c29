"""Claim 6: at a fixed budget of time or memory, lighter training is at least as good. Shares its cells with
`claims`.
"""

from itertools import accumulate
from typing import Any

from polyclip.report.plot import add_legend
from polyclip.studies.energy import WATTS
from polyclip.studies.figures import Record, compute_recall, list_trained_languages
from polyclip.studies.plan import plan_all_methods
from polyclip.studies.runner import Results, Setting, Variant
from polyclip.studies.sheet import Sheet

CLAIM = (
    "Given a fixed compute budget, parameter-efficient training reaches equal performance in less time and memory "
    "(claim 6)."
)
BUDGETS = (10.0, 30.0, 100.0, 300.0)  # seconds of one core
MEMORY = (1.0, 2.0, 4.0)  # GB, the peak of the process
REFERENCE = "full"


def plan(setting: Setting) -> list[Variant]:
    """Plan every method on all of the data."""
    return plan_all_methods(setting)


def find_best_within(record: Record, seconds: float) -> float | None:
    """Return the best validation recall within `seconds` of training; None where the first epoch takes longer."""
    log = record["log"]
    busy = record["processor_seconds"] / max(
        record["seconds"], 1e-9
    )  # training seconds of a busy machine, as seconds of one core
    done = [
        line["validation"]
        for line, spent in zip(log, accumulate(line.get("seconds", 0.0) * busy for line in log), strict=True)
        if spent <= seconds
    ]
    return max(done) if done else None


def average_best_within(records: list[Record], seconds: float) -> float | None:
    """Average the best validation recall within `seconds` over seeds; None where a seed has none."""
    found = [find_best_within(record, seconds) for record in records]
    known = [value for value in found if value is not None]
    return sum(known) / len(known) if len(known) == len(found) else None


def average(records: list[Record], key: str) -> float:
    """Average a value over seeds."""
    return sum(record[key] for record in records) / len(records)


def average_joules(records: list[Record]) -> float:
    """Average the energy of the whole training over seeds; estimated for records without it."""
    return sum(record.get("joules", WATTS * record["processor_seconds"]) for record in records) / len(records)


def describe_energy(results: Results) -> str:
    """Say how the energy was determined."""
    said = {
        record.get("energy", f"no measurement: processor seconds at an assumed {WATTS:g} W")
        for records in results.records.values()
        for record in records
    }
    return " or ".join(sorted(said))


def table(results: Results) -> Sheet:
    """Build a table of validation recall within CPU-time budgets, and the cost of the whole training."""
    rows = []
    for (method, _), records in sorted(results.records.items(), key=lambda item: average(item[1], "processor_seconds")):
        within = [average_best_within(records, seconds) for seconds in BUDGETS]
        busy = average(records, "processor_seconds")
        cells = [
            f"{busy:.0f}",
            f"{average(records, 'peak_bytes') / 1e9:.1f}",
            f"{average(records, 'flops') / 1e12:.2f}",
            f"{average_joules(records) / 1000:.2f}",
        ]
        recall = compute_recall(records, list_trained_languages(records[0])).format_percent()
        rows.append((method, *("-" if value is None else f"{100 * value:.1f}" for value in within), *cells, recall))
    return Sheet(
        "claim 6: recall within a budget",
        ("method", *(f"{seconds:g} s" for seconds in BUDGETS), "core s", "GB", "TFLOP", "kJ", "test recall@10"),
        rows,
        "first columns: mean recall@1/5/10 on validation after so many CPU seconds of training (features already "
        "cached); core s, TFLOP (counted by "
        f"torch over the steps): the whole training; GB: peak of the process; kJ: {describe_energy(results)}; "
        f"mean of {results.setting.seeds} seeds",
    )


def plot(results: Results, axes: Any) -> None:
    """Draw the best validation recall so far over CPU seconds, seed 0."""
    for (method, _), records in results.records.items():
        log, busy = records[0]["log"], records[0]["processor_seconds"] / max(records[0]["seconds"], 1e-9)
        spent = [max(value, 0.1) for value in accumulate(line.get("seconds", 0.0) * busy for line in log)]
        best = list(accumulate((100 * line["validation"] for line in log), max))
        axes.plot(
            spent,
            best,
            label=method,
        )
    axes.set(xscale="log", xlabel="CPU seconds of training", ylabel="best validation recall so far, %")
    add_legend(axes)


def find_leader(values: dict[str, float]) -> str:
    """Return the method with the highest value."""
    return max(values, key=lambda method: values[method])


def find_leaders_by_time(results: Results) -> dict[str, str]:
    """Return the best method by validation within each time budget; none where no epoch fits."""
    found = {
        budget: {
            m: value for (m, _), r in results.records.items() if (value := average_best_within(r, budget)) is not None
        }
        for budget in BUDGETS
    }
    return {f"{budget:g} s": find_leader(values) for budget, values in found.items() if values}


def find_leaders_by_memory(results: Results) -> dict[str, str]:
    """Return the best method by validation within each memory budget, with unlimited time."""
    best = {m: average(r, "validation") for (m, _), r in results.records.items()}
    found = {
        budget: {m: best[m] for (m, _), r in results.records.items() if average(r, "peak_bytes") <= budget * 1e9}
        for budget in MEMORY
    }
    return {f"{budget:g} GB": find_leader(values) for budget, values in found.items() if values}


def verdict(results: Results) -> str:
    """Say which method leads in each budget, and whether full training ever does."""
    if (REFERENCE, "") not in results.records:
        return "Cannot tell: `full` was not run."
    time, memory = find_leaders_by_time(results), find_leaders_by_memory(results)
    leaders = [*time.values(), *memory.values()]
    word = "holds" if REFERENCE not in leaders else "does not hold" if set(leaders) == {REFERENCE} else "holds partly"
    led = ", ".join(f"{budget}: {method}" for budget, method in (time | memory).items())
    full = results.records[REFERENCE, ""]
    seconds, peak = average(full, "processor_seconds"), average(full, "peak_bytes") / 1e9
    return f"Claim 6 {word}: the best by validation are {led}; full training takes {seconds:.0f} s and {peak:.1f} GB."
