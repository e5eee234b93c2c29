"""Claim 4, second half: parameter-efficient training scales with model size."""

from typing import Any

from polyclip.studies.curves import build_sheet, compute_curve, draw_curves
from polyclip.studies.figures import list_trained_languages
from polyclip.studies.plan import choose_methods, make_variant
from polyclip.studies.runner import Results, Setting, Variant
from polyclip.studies.sheet import Sheet

CLAIM = "Parameter-efficient training scales with the size of the model (claim 4)."
METHODS = ["full", "lilt-ln", "lilt-da", "heads", "head-glu", "asif"]
QUICK = ["lilt-da", "heads", "asif"]
TOWERS = ("efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2")


def plan(setting: Setting) -> list[Variant]:
    """Plan each method on each vision encoder, with the options of the study's encoder, such as its image size."""
    options = setting.tower.partition(":")[2]
    methods = choose_methods(QUICK if setting.quick and not setting.methods else METHODS, setting.methods)
    return [
        make_variant(setting, method, tower, tower=f"{tower}:{options}" if options else tower)
        for method in methods
        for tower in TOWERS
    ]


def table(results: Results) -> Sheet:
    """Build a table of recall on the trained languages."""
    caption = (
        f"text to image recall@10 on test concepts, mean of trained languages and {results.setting.seeds} seeds, "
        "percent [95 % over concept groups]; "
        f"towers with the options {results.setting.tower.partition(':')[2] or 'none'}"
    )
    return build_sheet(
        results, "claim 4: recall over the size of the vision encoder", list(results.setting.languages), caption
    )


def plot(results: Results, axes: Any) -> None:
    """Draw one line per method."""
    draw_curves(results, axes, list_trained_languages(next(iter(results.records.values()))[0]), "vision encoder")


def verdict(results: Results) -> str:
    """Say whether each method gains from the smallest to the largest encoder by more than its interval."""
    languages = list(results.setting.languages)
    gains, sure = {}, []
    for method in results.list_labels():
        found = list(compute_curve(results, method, languages).values())
        gains[method] = 100 * (found[-1].value - found[0].value)
        if found[-1].low > found[0].high:
            sure.append(method)
    rising = [method for method, gain in gains.items() if gain > 0]
    word = "holds" if sure and len(sure) == len(gains) else "does not hold" if not rising else "cannot tell"
    said = ", ".join(f"{method} {gain:+.1f}" for method, gain in gains.items())
    return (
        f"Claim 4 (model) {word}: from the smallest tower to the largest, in points: {said}; intervals are apart for "
        f"{', '.join(sure) or 'none'}."
    )
