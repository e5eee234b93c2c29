"""Claim 5: where pairs are scarce, parameter-efficient training is preferable to full training."""

from collections.abc import Sequence
from typing import Any

from polyclip.studies.curves import draw, sheet
from polyclip.studies.figures import Figure, share_of
from polyclip.studies.plan import chosen, variant
from polyclip.studies.runner import Results, Setting, Variant
from polyclip.studies.sheet import Sheet

CLAIM = "Where paired data is scarce, parameter-efficient training is preferable to full-model training (claim 5)."
METHODS = ["full", "lit", "lilt-ln", "lilt-lwa", "lilt-da", "heads", "head-glu", "asif"]
QUICK = ["lilt-da", "heads", "asif"]
PAIRS: dict[str, int | None] = {"k=0": 0, "k=8": 8, "k=32": 32, "k=128": 128, "k=512": 512, "all": None}
LANGUAGES = ("sw", "am", "yo", "quz", "te")  # unless others are given
ALL = "all"
REFERENCE = "full"


def low(setting: Setting) -> tuple[str, ...]:
    """The low-resource languages of the study."""
    given = tuple(code for code in setting.languages if code != "en")
    return LANGUAGES if given == ("sw",) else given


def plan(setting: Setting) -> list[Variant]:
    """English whole, and k pairs of each of the languages, trained together; the learning rate is chosen with all pairs. No other language is scored."""
    codes = low(setting)
    methods = chosen(QUICK if setting.quick and not setting.methods else METHODS, setting.methods)
    found = []
    for method in methods:
        for condition, pairs in PAIRS.items():
            trained = ("en",) if pairs == 0 else (*codes, "en")
            rest = tuple(code for code in codes if code not in trained)
            tuned = "" if condition == ALL else ALL
            found.append(variant(setting, method, condition, tuned, languages=trained, asked=rest, pairs=pairs or None))
    return found


def table(results: Results) -> Sheet:
    """Recall on the low-resource languages."""
    codes = list(low(results.setting))
    rows = [row for code in codes for row in language_rows(results, code)]
    whole = sheet(
        results,
        "claim 5: recall over pairs of the low-resource languages",
        codes,
        f"text to image recall@10 on test concepts, percent [95 % over concept groups], mean of {results.setting.seeds} seeds; first the mean of "
        f"{', '.join(codes)}, then that as a share of full training's, then each language; trained together with all of English, k named pictures of "
        "each language, chosen by hash",
    )
    return Sheet(whole.title, whole.columns, [*whole.rows, *share_rows(results), *rows], whole.caption)


def language_rows(results: Results, code: str) -> list[tuple[str, ...]]:
    """The same for one language."""
    return [(f"{row[0]} · {code}", *row[1:]) for row in sheet(results, "", [code], "").rows]


def plot(results: Results, axes: Any) -> None:
    """One line a method, mean of the languages."""
    draw(results, axes, list(low(results.setting)), "pairs of each low-resource language, beside all of English")


def shares(results: Results, method: str, conditions: Sequence[str]) -> dict[str, Figure]:
    """A method's recall by condition as a share of full training's, mean of the languages."""
    codes = list(low(results.setting))
    return {
        condition: share_of(results.records[method, condition], results.records[REFERENCE, condition], codes)
        for condition in conditions
    }


def share_rows(results: Results) -> list[tuple[str, ...]]:
    """`1.16 [1.03, 1.29]` for each k; no row where full training was not run."""
    if REFERENCE not in results.labels():
        return []
    found = {
        method: shares(results, method, results.conditions()).values()
        for method in results.labels()
        if method != REFERENCE
    }
    return [(f"{method}, of {REFERENCE}", *(share.ratio() for share in own), "") for method, own in found.items()]


def verdict(results: Results) -> str:
    """For each k below all: which lighter methods are ahead of full training by more than their interval, and which behind."""
    if REFERENCE not in results.labels():
        return f"Cannot tell: `{REFERENCE}` was not run."
    scarce = [condition for condition in results.conditions() if condition != ALL]
    found = {method: shares(results, method, scarce) for method in results.labels() if method not in (REFERENCE, "lit")}
    ahead = {method: [k for k, share in own.items() if share.low > 1] for method, own in found.items()}
    behind = {method: [k for k, share in own.items() if share.high < 1] for method, own in found.items()}
    if any(len(own) == len(scarce) for own in ahead.values()):
        word = "holds"
    elif any(ahead.values()):
        word = "holds partly"
    else:
        word = "does not hold" if any(behind.values()) else "cannot tell"
    said = [
        f"{method} is {place} at {listed(where[method], found[method])}"
        for place, where in (("ahead", ahead), ("behind", behind))
        for method in found
        if where[method]
    ]
    level = [method for method in found if not ahead[method] and not behind[method]]
    said += [f"no difference for {', '.join(level)}"] if level else []
    return f"Claim 5 {word}: as a share of full training, by more than its interval, {'; '.join(said)}."


def listed(conditions: Sequence[str], found: dict[str, Figure]) -> str:
    """`k=0 (1.16), k=8 (1.05)`."""
    return ", ".join(f"{condition} ({found[condition].value:.2f})" for condition in conditions)
