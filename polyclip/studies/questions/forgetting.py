"""Claim 3: what the towers knew is kept better where less is trained. The cells are those of `claims`."""

from typing import Any

from polyclip.studies.figures import Record, other_languages, recall_of
from polyclip.studies.labels import beside
from polyclip.studies.plan import every_method
from polyclip.studies.runner import Results, Setting, Variant
from polyclip.studies.sheet import Sheet

CLAIM = "Existing knowledge is conserved more strongly under parameter-efficient training (claim 3)."
REFERENCE = "full"
TEXT, VISION = "text encoder", "vision tower"


def plan(setting: Setting) -> list[Variant]:
    """Every method on all of the data."""
    return every_method(setting)


def table(results: Results) -> Sheet:
    """Cross-lingual recall of never-trained languages in the encoder itself, agreement of the ImageNet classifier, image retrieval."""
    rows = []
    for (method, _), records in results.records.items():
        others = recall_of(records, other_languages(records[0])).percent()
        rows.append((method, kept(records, TEXT), kept(records, "aligned captions"), kept(records, VISION), others))
    return Sheet(
        "claim 3: knowledge kept",
        ("method", "text encoder", "aligned captions", "same ImageNet class", "never trained, image recall@10"),
        sorted(rows, key=lambda row: row[0]),
        "text: change in recall@1 of names in languages never trained among those of a pivot never trained either, percent points [95 % over concept "
        f"groups], against the encoder as it came; vision: share of test pictures that keep their class; mean of {results.setting.seeds} seeds; "
        "0.0 and 100.0 by construction where a tower is not trained",
    )


def kept(records: list[Record], part: str) -> str:
    """Mean change over seeds; of pictures, the share that agrees."""
    lines = [
        line
        for record in records
        for line in record["knowledge"]
        if line["part"] == part and ("never" in line["question"] or part == VISION)
    ]
    if not lines:
        return "100.0" if part == VISION else "-"
    if part == VISION:
        return f"{100 * mean(lines, 'after'):.1f}"
    return f"{100 * mean(lines, 'change'):+.1f} [{100 * mean(lines, 'low'):+.0f}, {100 * mean(lines, 'high'):+.0f}]"


def mean(lines: list[Record], key: str) -> float:
    """Over seeds."""
    return sum(line[key] for line in lines) / len(lines)


def change(records: list[Record], part: str = TEXT) -> float:
    """Mean change of never-trained languages in one part."""
    return mean(
        [
            line
            for record in records
            for line in record["knowledge"]
            if line["part"] == part and "never" in line["question"]
        ],
        "change",
    )


def agreement(records: list[Record]) -> float:
    """Share of pictures that keep their ImageNet class; 1 where the vision tower is not trained."""
    lines = [line for record in records for line in record["knowledge"] if line["part"] == VISION]
    return mean(lines, "after") if lines else 1.0


def plot(results: Results, axes: Any) -> None:
    """Change in the text encoder against agreement of the vision tower."""
    points = [
        (100 * agreement(records), 100 * change(records), method) for (method, _), records in results.records.items()
    ]
    for x, y, _ in points:
        axes.scatter(x, y, color="C0")
    beside(axes, points, "left")
    axes.set(
        xlabel="pictures that keep their ImageNet class, %",
        ylabel="text encoder, languages never trained: change of recall@1, points",
    )


def verdict(results: Results) -> str:
    """Tower by tower: how many of the lighter methods inside keep at least as much as full training."""
    if (REFERENCE, "") not in results.records:
        return "Cannot tell: `full` was not run."
    full = results.records[REFERENCE, ""]
    inside = {m: r for (m, _), r in results.records.items() if m.startswith(("lilt", "lora"))}
    if not inside:
        return "Cannot tell: no method that trains a part of both towers was run."
    kept_by = {
        "text encoder": [method for method, records in inside.items() if change(records) >= change(full)],
        "vision tower": [method for method, records in inside.items() if agreement(records) >= agreement(full)],
    }
    sides = [len(found) == len(inside) for found in kept_by.values()]
    word = "holds" if all(sides) else "holds partly" if any(kept_by.values()) else "does not hold"
    said = " and ".join(
        f"{len(found)} of {len(inside)} keep at least as much of the {tower}" for tower, found in kept_by.items()
    )
    return (
        f"Claim 3 {word}: of the lighter methods inside the towers ({', '.join(sorted(inside))}), {said} as full training, which changes never-trained "
        f"languages in the text encoder by {100 * change(full):+.1f} points and leaves {100 * agreement(full):.1f} % of the pictures in their ImageNet "
        "class. Methods that leave the towers alone keep everything by construction."
    )
