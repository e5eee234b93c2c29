"""Claim 5: where pairs are scarce, parameter-efficient training is preferable to full training."""

from collections.abc import Sequence
from typing import Any

from polyclip.studies.curves import build_sheet, draw_curves
from polyclip.studies.figures import Estimate, compute_share
from polyclip.studies.plan import choose_methods, make_variant
from polyclip.studies.runner import Results, Setting, Variant
from polyclip.studies.sheet import Sheet

CLAIM = "Where paired data is scarce, parameter-efficient training is preferable to full-model training (claim 5)."
METHODS = ["full", "lit", "lilt-ln", "lilt-lwa", "lilt-da", "heads", "head-glu", "asif"]
QUICK = ["lilt-da", "heads", "asif"]
PAIRS: dict[str, int | None] = {"k=0": 0, "k=8": 8, "k=32": 32, "k=128": 128, "k=512": 512, "all": None}
LANGUAGES = ("sw", "am", "yo", "quz", "te")  # unless others are given
ALL = "all"
REFERENCE = "full"


def choose_languages(setting: Setting) -> tuple[str, ...]:
    """Return the low-resource languages of the study."""
    given = tuple(code for code in setting.languages if code != "en")
    return LANGUAGES if given == ("sw",) else given


def plan(setting: Setting) -> list[Variant]:
    """Plan all of English with k pairs of each language, trained together; the learning rate is chosen with all
    pairs.
    """
    codes = choose_languages(setting)
    methods = choose_methods(QUICK if setting.quick and not setting.methods else METHODS, setting.methods)
    found = []
    for method in methods:
        for condition, pairs in PAIRS.items():
            trained = ("en",) if pairs == 0 else (*codes, "en")
            rest = tuple(code for code in codes if code not in trained)
            tuned = "" if condition == ALL else ALL
            found.append(
                make_variant(setting, method, condition, tuned, languages=trained, asked=rest, pairs=pairs or None)
            )
    return found


def table(results: Results) -> Sheet:
    """Build a table of recall on the low-resource languages."""
    codes = list(choose_languages(results.setting))
    rows = [row for code in codes for row in build_language_rows(results, code)]
    whole = build_sheet(
        results,
        "claim 5: recall over pairs of the low-resource languages",
        codes,
        "text to image recall@10 on test concepts, percent [95 % over concept groups], mean of "
        f"{results.setting.seeds} seeds; first the mean of "
        f"{', '.join(codes)}, then that as a share of full training's, then each language; trained together with all "
        "of English, k named images of "
        "each language, chosen by hash",
    )
    return Sheet(whole.title, whole.columns, [*whole.rows, *build_share_rows(results), *rows], whole.caption)


def build_language_rows(results: Results, code: str) -> list[tuple[str, ...]]:
    """Build the rows of one language."""
    return [(f"{row[0]} · {code}", *row[1:]) for row in build_sheet(results, "", [code], "").rows]


def plot(results: Results, axes: Any) -> None:
    """Draw one line per method, averaged over the languages."""
    draw_curves(
        results,
        axes,
        list(choose_languages(results.setting)),
        "pairs of each low-resource language, beside all of English",
    )


def compute_shares(results: Results, method: str, conditions: Sequence[str]) -> dict[str, Estimate]:
    """Compute a method's recall by condition relative to full training, averaged over the languages."""
    codes = list(choose_languages(results.setting))
    return {
        condition: compute_share(results.records[method, condition], results.records[REFERENCE, condition], codes)
        for condition in conditions
    }


def build_share_rows(results: Results) -> list[tuple[str, ...]]:
    """Build rows such as `1.16 [1.03, 1.29]` for each k; none where full training was not run."""
    if REFERENCE not in results.list_labels():
        return []
    found = {
        method: compute_shares(results, method, results.list_conditions()).values()
        for method in results.list_labels()
        if method != REFERENCE
    }
    return [
        (f"{method}, of {REFERENCE}", *(share.format_ratio() for share in own), "") for method, own in found.items()
    ]


def verdict(results: Results) -> str:
    """Say for each k below all which lighter methods differ from full training by more than their interval."""
    if REFERENCE not in results.list_labels():
        return f"Cannot tell: `{REFERENCE}` was not run."
    scarce = [condition for condition in results.list_conditions() if condition != ALL]
    found = {
        method: compute_shares(results, method, scarce)
        for method in results.list_labels()
        if method not in (REFERENCE, "lit")
    }
    ahead = {method: [k for k, share in own.items() if share.low > 1] for method, own in found.items()}
    behind = {method: [k for k, share in own.items() if share.high < 1] for method, own in found.items()}
    if any(len(own) == len(scarce) for own in ahead.values()):
        word = "holds"
    elif any(ahead.values()):
        word = "holds partly"
    else:
        word = "does not hold" if any(behind.values()) else "cannot tell"
    said = [
        f"{method} is {place} at {format_conditions(where[method], found[method])}"
        for place, where in (("ahead", ahead), ("behind", behind))
        for method in found
        if where[method]
    ]
    level = [method for method in found if not ahead[method] and not behind[method]]
    said += [f"no difference for {', '.join(level)}"] if level else []
    return f"Claim 5 {word}: as a share of full training, by more than its interval, {'; '.join(said)}."


def format_conditions(conditions: Sequence[str], found: dict[str, Estimate]) -> str:
    """Format conditions with their values, such as `k=0 (1.16), k=8 (1.05)`."""
    return ", ".join(f"{condition} ({found[condition].value:.2f})" for condition in conditions)
