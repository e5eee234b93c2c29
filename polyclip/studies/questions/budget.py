"""Claim 6: at a fixed budget of time or memory lighter training does better or as well. The cells are those of `claims`."""

from itertools import accumulate
from typing import Any

from polyclip.studies.energy import WATTS
from polyclip.studies.figures import Record, recall_of, trained_languages
from polyclip.studies.plan import every_method
from polyclip.studies.runner import Results, Setting, Variant
from polyclip.studies.sheet import Sheet

CLAIM = "Given a fixed compute budget, parameter-efficient training reaches equal performance in less time and memory (claim 6)."
BUDGETS = (10.0, 30.0, 100.0, 300.0)  # seconds of one core
MEMORY = (1.0, 2.0, 4.0)  # GB, the peak of the process
REFERENCE = "full"


def plan(setting: Setting) -> list[Variant]:
    """Every method on all of the data."""
    return every_method(setting)


def reached(record: Record, seconds: float) -> float | None:
    """Best validation recall within `seconds` of training; None where not even the first epoch fits."""
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


def mean_reached(records: list[Record], seconds: float) -> float | None:
    """The same over seeds; None where a seed has none."""
    found = [reached(record, seconds) for record in records]
    known = [value for value in found if value is not None]
    return sum(known) / len(known) if len(known) == len(found) else None


def mean(records: list[Record], key: str) -> float:
    """Over seeds."""
    return sum(record[key] for record in records) / len(records)


def joules(records: list[Record]) -> float:
    """Of the whole training, over seeds; of cells from before energy was kept, the same estimate."""
    return sum(record.get("joules", WATTS * record["processor_seconds"]) for record in records) / len(records)


def how(results: Results) -> str:
    """Where the energy comes from."""
    said = {
        record.get("energy", f"no measurement: processor seconds at an assumed {WATTS:g} W")
        for records in results.records.values()
        for record in records
    }
    return " or ".join(sorted(said))


def table(results: Results) -> Sheet:
    """Validation recall within budgets of processor time, and what the whole training takes."""
    rows = []
    for (method, _), records in sorted(results.records.items(), key=lambda item: mean(item[1], "processor_seconds")):
        within = [mean_reached(records, seconds) for seconds in BUDGETS]
        busy = mean(records, "processor_seconds")
        cells = [
            f"{busy:.0f}",
            f"{mean(records, 'peak_bytes') / 1e9:.1f}",
            f"{mean(records, 'flops') / 1e12:.2f}",
            f"{joules(records) / 1000:.2f}",
        ]
        recall = recall_of(records, trained_languages(records[0])).percent()
        rows.append((method, *("-" if value is None else f"{100 * value:.1f}" for value in within), *cells, recall))
    return Sheet(
        "claim 6: recall within a budget",
        ("method", *(f"{seconds:g} s" for seconds in BUDGETS), "core s", "GB", "TFLOP", "kJ", "test recall@10"),
        rows,
        "first columns: mean recall@1/5/10 on validation after so many processor seconds of training (features already cached); core s, TFLOP (counted by "
        f"torch over the steps): the whole training; GB: peak of the process; kJ: {how(results)}; "
        f"mean of {results.setting.seeds} seeds",
    )


def plot(results: Results, axes: Any) -> None:
    """Best validation recall so far against processor seconds, seed 0."""
    for number, ((method, _), records) in enumerate(results.records.items()):
        log, busy = records[0]["log"], records[0]["processor_seconds"] / max(records[0]["seconds"], 1e-9)
        spent = [max(value, 0.1) for value in accumulate(line.get("seconds", 0.0) * busy for line in log)]
        best = list(accumulate((100 * line["validation"] for line in log), max))
        axes.plot(
            spent,
            best,
            marker="." if len(spent) > 1 else "o",
            color=f"C{number % 10}",
            linestyle="-" if number < 10 else "--",
            label=method,
        )
    axes.set(xscale="log", xlabel="processor seconds of training", ylabel="best validation recall so far, %")
    axes.legend(loc="lower right", fontsize=7, ncols=2)


def leading(values: dict[str, float]) -> str:
    """The method with the highest value."""
    return max(values, key=lambda method: values[method])


def in_seconds(results: Results) -> dict[str, str]:
    """Which method is best by validation within each budget of time; none where not even an epoch of any fits."""
    found = {
        budget: {m: value for (m, _), r in results.records.items() if (value := mean_reached(r, budget)) is not None}
        for budget in BUDGETS
    }
    return {f"{budget:g} s": leading(values) for budget, values in found.items() if values}


def in_memory(results: Results) -> dict[str, str]:
    """The same within each budget of memory, with all the time that a method takes."""
    best = {m: mean(r, "validation") for (m, _), r in results.records.items()}
    found = {
        budget: {m: best[m] for (m, _), r in results.records.items() if mean(r, "peak_bytes") <= budget * 1e9}
        for budget in MEMORY
    }
    return {f"{budget:g} GB": leading(values) for budget, values in found.items() if values}


def verdict(results: Results) -> str:
    """Which method leads in each budget, and whether full training ever does."""
    if (REFERENCE, "") not in results.records:
        return "Cannot tell: `full` was not run."
    time, memory = in_seconds(results), in_memory(results)
    leaders = [*time.values(), *memory.values()]
    word = "holds" if REFERENCE not in leaders else "does not hold" if set(leaders) == {REFERENCE} else "holds partly"
    led = ", ".join(f"{budget}: {method}" for budget, method in (time | memory).items())
    full = results.records[REFERENCE, ""]
    seconds, peak = mean(full, "processor_seconds"), mean(full, "peak_bytes") / 1e9
    return f"Claim 6 {word}: the best by validation are {led}; full training takes {seconds:.0f} s and {peak:.1f} GB."
