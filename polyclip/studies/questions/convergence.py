"""Claims 1, 2, 3 and 6 again, of models that are trained until their validation score rises no more."""

from typing import Any

from polyclip.studies.cell_scores import PHOTOGRAPHS
from polyclip.studies.cells import LongSpec
from polyclip.studies.drawing import FRESH, draw_traces, label_start
from polyclip.studies.figures import (
    Record,
    compute_recall_over_seeds,
    compute_share_over_seeds,
    compute_spread,
    format_share_over_seeds,
    list_trained_languages,
    list_unseen_languages,
)
from polyclip.studies.plan import choose_methods, make_cell
from polyclip.studies.retention import TEXT, VISION, format_retention
from polyclip.studies.runner import Results, Setting, Variant
from polyclip.studies.sheet import Sheet
from polyclip.studies.traces import collect_traces, find_best

CLAIM = "Less than 7 % of the parameters match full training (claim 1), once everything is trained to the end."
REFERENCE = "full"
METHODS = [
    *("full", "lit", "lilt-lwa", "lilt-ln", "heads", "lilt-da", "lilt-bf", "lora", "head-glu", "head-mlp"),
    *("lit-reversed", "first-blocks"),
]
QUICK = ["full", "lilt-da", "lilt-ln", "heads"]
WARM = "heads first"
EVERY = 50  # steps from one validation to the next
PATIENCE = 4  # validations without a new best
HEAD_RATE = 1e-3  # of fresh heads while encoders are trained; heads that were trained first go on at a tenth of it
WHOLE = (1e-4, 3e-5, 3e-4, 1e-5)  # those tried first come first, for tables of an unfinished study
BLOCKS = (1e-4, 3e-4, 1e-3, 3e-5)
ADAPTERS = (3e-4, 1e-3, 3e-3, 1e-4)
DEEP = (3e-4, 1e-3, 1e-4, 3e-5)
FEW = (1e-3, 3e-4, 3e-3, 1e-4)
PHOTOGRAPHED = ("photographs, trained", "photographs, unseen")
PHOTOGRAPHS_SAID = "; photographs: Tux Paint's stamps, test split, recall@10 of sentences in these languages"
HEADS = (2e-3, 4e-3, 8e-3, 1e-3)
RATES = dict.fromkeys(("full", "lit", "lit-reversed"), WHOLE) | dict.fromkeys(("lilt-lwa", "lora"), ADAPTERS)
RATES |= dict.fromkeys(("lilt-ln", "lilt-bf"), FEW) | {"lilt-da": DEEP, "first-blocks": BLOCKS}


def plan(setting: Setting) -> list[Variant]:
    """Plan each method from fresh heads, and where it trains encoders also from trained heads at the rate chosen
    there.
    """
    found = []
    for method in choose_methods(QUICK if setting.quick and not setting.methods else METHODS, setting.methods):
        rates = RATES.get(method, HEADS)[: 1 if setting.quick else None]
        for start in (FRESH, WARM) if method in RATES and not setting.quick else (FRESH,):
            long = LongSpec(
                fresh=start == FRESH,
                steps=setting.steps,
                batch=setting.batch,
                every=EVERY,
                patience=PATIENCE,
                head_rate=HEAD_RATE if start == FRESH else HEAD_RATE / 10,
            )
            cell = make_cell(setting, method, long=long)
            found.append(
                Variant(label=method, condition=start, cell=cell, rates=rates, tuned_on="" if start == FRESH else FRESH)
            )
    return found


def table(results: Results) -> Sheet:
    """Build a table of recall, of what was forgotten, and of the cost up to the best validation."""
    first = next(iter(results.records.values()))[0]
    trained, others = list_trained_languages(first), list_unseen_languages(first)
    photographs = PHOTOGRAPHED if any(PHOTOGRAPHS in one for found in results.records.values() for one in found) else ()
    rows: list[tuple[str, ...]] = []
    for (method, start), records in results.records.items():
        reference = results.records.get((REFERENCE, start))
        best = [find_best(record) for record in records]
        tried = results.trials.get((method, FRESH), {})
        rows.append(
            (
                label_start(method, start),
                f"{100 * average(records, 'validation'):.1f}",
                compute_recall_over_seeds(records, trained).format_percent(),
                format_share_over_seeds(records, reference, trained),
                compute_recall_over_seeds(records, others).format_percent(),
                format_share_over_seeds(records, reference, others),
                format_retention(records, TEXT),
                format_retention(records, VISION),
                *([format_photographs(records, codes) for codes in (trained, others)] if photographs else []),
                f"{sum(line['step'] for line in best) / len(best):.0f}",
                f"{sum(line['processor_seconds'] for line in best) / len(best):.0f}",
                f"{results.chosen[method, start]:g} of {len(tried)}",
                f"{len(records)} (± {100 * compute_spread(records, trained):.1f})" if len(records) > 1 else "1",
            )
        )
    return Sheet(
        "trained until validation rises no more",
        (
            *("method", "validation", "trained languages", "of full", "unseen languages", "of full "),
            *("text encoder", "same ImageNet class", *photographs, "best step", "core s", "rate", "seeds (±)"),
        ),
        rows,
        describe(results, trained, others) + (PHOTOGRAPHS_SAID if photographs else ""),
    )


def format_photographs(records: list[Record], codes: list[str]) -> str:
    """Format recall@10 on photographs over seeds; a dash where a record has none, or no language has sentences."""
    found = [{"cell": record["cell"]} | record[PHOTOGRAPHS] for record in records if PHOTOGRAPHS in record]
    named = [code for code in codes if found and code in found[0]["ranks"]]
    return compute_recall_over_seeds(found, named).format_percent() if named and len(found) == len(records) else "-"


def describe(results: Results, trained: list[str], others: list[str]) -> str:
    """Describe the setting and what the columns mean."""
    setting = results.setting
    return (
        f"at most {setting.steps} steps of {setting.batch} pairs, validated every {EVERY} steps, ended after "
        f"{PATIENCE} validations without a new best; validation: mean recall@1/5/10 of the best one; then text to "
        "image recall@10 on test concepts, percent [95 % over concept groups and seeds], trained: "
        f"{', '.join(trained)}; unseen: {', '.join(others)}; of full: from the same start, over the seeds that both "
        "have; text encoder, ImageNet class: as in the study of forgetting; best step, core s: training up to the best "
        "validation, in processor seconds; rate: the best one of those tried with seed 0 from fresh heads; seeds: how "
        "many, and the spread of the trained languages over them; where the best step is "
        f"{setting.steps}, validation still rose at the end"
    )


def average(records: list[Record], key: str) -> float:
    """Average a value over seeds."""
    return float(sum(record[key] for record in records) / len(records))


def plot(results: Results, axes: Any) -> None:
    """Draw validation over processor seconds and joules, seed 0, a panel for each start."""
    draw_traces(axes, collect_traces(results))


def verdict(results: Results) -> str:
    """Say which lighter methods match full training from fresh heads, and which it beats."""
    reference = results.records.get((REFERENCE, FRESH))
    if reference is None:
        return "Cannot tell: `full` was not run from fresh heads."
    trained = list_trained_languages(reference[0])
    found = {
        method: compute_share_over_seeds(records, reference, trained)
        for (method, start), records in results.records.items()
        if start == FRESH and method != REFERENCE
    }
    shares = {method: share for method, share in found.items() if share is not None}
    if not shares:
        return "Cannot tell: nothing but `full` was run from fresh heads."
    sides = {
        "ahead of full training": [method for method, share in shares.items() if share.low > 1],
        "behind it": [method for method, share in shares.items() if share.high < 1],
        "not told apart from it": [method for method, share in shares.items() if share.low <= 1 <= share.high],
    }
    said = "; ".join(
        f"{place}: {', '.join(f'{method} {shares[method].format_ratio()}' for method in methods)}"
        for place, methods in sides.items()
        if methods
    )
    return f"From fresh heads, on trained languages, {said}. Intervals are over concepts and the seeds that both have."
