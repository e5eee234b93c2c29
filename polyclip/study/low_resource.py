"""Claim 5: where pairs are scarce, parameter-efficient training is preferable to full training."""

from typing import Any

from polyclip.study._curves import curve, draw, sheet
from polyclip.study._figures import share_of
from polyclip.study._plan import chosen, variant
from polyclip.study._runner import Results, Setting, Variant
from polyclip.study._sheet import Sheet

CLAIM = "Where paired data is scarce, parameter-efficient training is preferable to full-model training (claim 5)."
METHODS = ["full", "lit", "lilt-ln", "lilt-lwa", "lilt-da", "heads", "head-glu", "asif"]
QUICK = ["lilt-da", "heads", "asif"]
PAIRS: dict[str, int | None] = {"k=0": 0, "k=8": 8, "k=32": 32, "k=128": 128, "k=512": 512, "all": None}
LANGUAGES = ("sw", "am", "yo", "quz", "te")  # unless others are given
ALL = "all"


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
        f"{', '.join(codes)}, then each; trained together with all of English, k named pictures of each language, chosen by hash",
    )
    return Sheet(whole.title, whole.columns, [*whole.rows, *rows], whole.caption)


def language_rows(results: Results, code: str) -> list[tuple[str, ...]]:
    """The same for one language."""
    return [(f"{row[0]} · {code}", *row[1:]) for row in sheet(results, "", [code], "").rows]


def plot(results: Results, axes: Any) -> None:
    """One line a method, mean of the languages."""
    draw(results, axes, list(low(results.setting)), "pairs of each low-resource language, beside all of English")


def leading(results: Results, condition: str, codes: list[str], methods: list[str]) -> str:
    """The method with the highest recall."""
    return max(methods, key=lambda method: curve(results, method, codes)[condition].value)


def verdict(results: Results) -> str:
    """For each k below all: the best lighter method against full training."""
    codes = list(low(results.setting))
    if "full" not in results.labels():
        leaders = ", ".join(f"{condition}: {leading(results, condition, codes, results.labels())}" for condition in results.conditions())
        return f"Cannot tell: `full` was not run. The best of the others: {leaders}."
    lighter = [method for method in results.labels() if method not in ("full", "lit")]
    wins, said = 0, []
    scarce = [condition for condition in results.conditions() if condition != ALL]
    for condition in scarce:
        best = leading(results, condition, codes, lighter)
        share = share_of(results.records[best, condition], results.records["full", condition], codes)
        wins += share.low > 1
        said.append(f"{condition}: {best} {share.value:.2f} [{share.low:.2f}, {share.high:.2f}]")
    word = "holds" if wins == len(scarce) else "holds partly" if wins else "cannot tell"
    return f"Claim 5 {word}: the best lighter method as a share of full training, {'; '.join(said)}."
