"""Claim 3: lighter training forgets less of what the encoders knew. Shares its cells with `claims`."""

from typing import Any

from polyclip.studies.drawing import draw_change
from polyclip.studies.figures import Record, compute_recall, list_unseen_languages
from polyclip.studies.plan import plan_all_methods
from polyclip.studies.retention import TEXT, VISION, average, format_retention
from polyclip.studies.runner import Results, Setting, Variant
from polyclip.studies.sheet import Sheet

CLAIM = "Existing knowledge is conserved more strongly under parameter-efficient training (claim 3)."
REFERENCE = "full"


def plan(setting: Setting) -> list[Variant]:
    """Plan every method on all of the data."""
    return plan_all_methods(setting)


def table(results: Results) -> Sheet:
    """Build a table of cross-lingual recall of unseen languages, agreement of the ImageNet classifier, and image
    retrieval.
    """
    rows = []
    for (method, _), records in results.records.items():
        others = compute_recall(records, list_unseen_languages(records[0])).format_percent()
        rows.append(
            (
                method,
                format_retention(records, TEXT),
                format_retention(records, "aligned captions"),
                format_retention(records, VISION),
                others,
            )
        )
    return Sheet(
        "claim 3: retention",
        ("method", "text encoder", "aligned captions", "same ImageNet class", "unseen languages, image recall@10"),
        sorted(rows, key=lambda row: row[0]),
        "text: change in recall@1 of names in unseen languages among those of an unseen pivot, percentage points [95 "
        "% over concept "
        "groups], against the encoder as it came; vision: share of test images that keep their class; mean of "
        f"{results.setting.seeds} seeds; "
        "0.0 and 100.0 by construction where an encoder is frozen",
    )


def average_change(records: list[Record], part: str = TEXT) -> float:
    """Average the change of unseen languages in one part."""
    return average(
        [
            line
            for record in records
            for line in record["knowledge"]
            if line["part"] == part and "never" in line["question"]
        ],
        "change",
    )


def average_agreement(records: list[Record]) -> float:
    """Average share of images that keep their ImageNet class; 1 where the vision encoder is frozen."""
    lines = [line for record in records for line in record["knowledge"] if line["part"] == VISION]
    return average(lines, "after") if lines else 1.0


def plot(results: Results, axes: Any) -> None:
    """Draw the change in the text encoder over the agreement of the vision encoder."""
    points = [
        (method, 100 * average_agreement(records), 100 * average_change(records))
        for (method, _), records in results.records.items()
    ]
    draw_change(axes, points)


def verdict(results: Results) -> str:
    """Say for each encoder how many of the lighter methods inside retain at least as much as full training."""
    if (REFERENCE, "") not in results.records:
        return "Cannot tell: `full` was not run."
    full = results.records[REFERENCE, ""]
    inside = {m: r for (m, _), r in results.records.items() if m.startswith(("lilt", "lora"))}
    if not inside:
        return "Cannot tell: no method that trains a part of both towers was run."
    kept_by = {
        "text encoder": [
            method for method, records in inside.items() if average_change(records) >= average_change(full)
        ],
        "vision encoder": [
            method for method, records in inside.items() if average_agreement(records) >= average_agreement(full)
        ],
    }
    sides = [len(found) == len(inside) for found in kept_by.values()]
    word = "holds" if all(sides) else "holds partly" if any(kept_by.values()) else "does not hold"
    said = " and ".join(
        f"{len(found)} of {len(inside)} retain at least as much of the {tower}" for tower, found in kept_by.items()
    )
    return (
        f"Claim 3 {word}: of the lighter methods inside the encoders ({', '.join(sorted(inside))}), {said} as full "
        "training, which changes unseen "
        f"languages in the text encoder by {100 * average_change(full):+.1f} points and leaves "
        f"{100 * average_agreement(full):.1f} % of the images in their ImageNet "
        "class. Methods that freeze both encoders retain everything by construction."
    )
