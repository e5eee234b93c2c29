"""Claim 4, first half: parameter-efficient training scales with the amount of data."""

from typing import Any

from polyclip.studies.curves import build_sheet, compute_curve, draw_curves
from polyclip.studies.figures import list_trained_languages
from polyclip.studies.plan import choose_methods, make_variant
from polyclip.studies.runner import Results, Setting, Variant
from polyclip.studies.sheet import Sheet

CLAIM = "Parameter-efficient training scales with the size of the data (claim 4)."
METHODS = ["full", "lilt-ln", "lilt-da", "heads", "head-glu", "asif"]
QUICK = ["lilt-da", "heads", "asif"]
SHARES = {"1/16": 1 / 16, "1/8": 1 / 8, "1/4": 1 / 4, "1/2": 1 / 2, "1/1": 1.0}
WHOLE = "1/1"


def plan(setting: Setting) -> list[Variant]:
    """Plan each method on each share of the data; the learning rate is chosen on all of it."""
    methods = choose_methods(QUICK if setting.quick and not setting.methods else METHODS, setting.methods)
    return [
        make_variant(setting, method, condition, "" if condition == WHOLE else WHOLE, share=share)
        for method in methods
        for condition, share in SHARES.items()
    ]


def table(results: Results) -> Sheet:
    """Build a table of recall on the trained languages."""
    languages = list(results.setting.languages)
    caption = (
        "text to image recall@10 on test concepts, mean of trained languages and "
        f"{results.setting.seeds} seeds, percent [95 % over concept groups]; share of training concepts, chosen by "
        "hash; as many steps for every share, "
        "through live towers at least a quarter as many"
    )
    return build_sheet(results, "claim 4: recall over the size of the data", languages, caption)


def plot(results: Results, axes: Any) -> None:
    """Draw one line per method."""
    draw_curves(
        results, axes, list_trained_languages(next(iter(results.records.values()))[0]), "share of the training concepts"
    )


def verdict(results: Results) -> str:
    """Say whether every lighter method gains at every step, and compare its gain with full training's."""
    languages = list(results.setting.languages)
    gains = {}
    for method in results.list_labels():
        found = [figure.value for figure in compute_curve(results, method, languages).values()]
        gains[method] = (100 * (found[-1] - found[0]), all(a < b for a, b in zip(found, found[1:], strict=False)))
    lighter = {method: gain for method, gain in gains.items() if method != "full"}
    if not lighter:
        return "Cannot tell: no lighter method was run."
    steady = [method for method, (_, rising) in lighter.items() if rising]
    word = "holds" if len(steady) == len(lighter) else "holds partly" if steady else "does not hold"
    said = ", ".join(f"{method} {gain:+.1f}" for method, (gain, _) in gains.items())
    return (
        f"Claim 4 (data) {word}: {len(steady)} of {len(lighter)} lighter methods gain at every step from 1/16 to all "
        f"of the data; gains in points: {said}."
    )
