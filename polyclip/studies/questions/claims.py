"""Claims 1 and 2: less than 7 % of the parameters match full training, less than 1 % reach three quarters of it."""

from typing import Any

from polyclip.studies.drawing import draw_against_share
from polyclip.studies.figures import (
    compute_recall,
    compute_share,
    compute_spread,
    format_share,
    list_trained_languages,
    list_unseen_languages,
)
from polyclip.studies.plan import TRIALS, plan_all_methods
from polyclip.studies.runner import Results, Setting, Variant
from polyclip.studies.sheet import Sheet

CLAIM = (
    "Updating less than 7 % of the parameters matches full training (claim 1), less than 1 % matches 75 % of it "
    "(claim 2)."
)
REFERENCE = "full"


def plan(setting: Setting) -> list[Variant]:
    """Plan every method on all of the data."""
    return plan_all_methods(setting)


def table(results: Results) -> Sheet:
    """Build a table of recall on trained and unseen languages, absolute and relative to full training."""
    first = next(iter(results.records.values()))[0]
    trained, others = list_trained_languages(first), list_unseen_languages(first)
    reference = results.records.get((REFERENCE, ""))
    rows = []
    for (method, _), records in sorted(
        results.records.items(), key=lambda item: -compute_recall(item[1], trained).value
    ):
        model = records[0]["model"]
        cells = [
            compute_recall(records, trained).format_percent(),
            format_share(records, reference, trained),
            compute_recall(records, others).format_percent(),
            format_share(records, reference, others),
        ]
        shares = (f"{100 * model['trained_share']:.2f}", f"{100 * model['trained_share_without_embeddings']:.2f}")
        rate = results.chosen[method, ""]
        rows.append(
            (method, *shares, *cells, f"{100 * compute_spread(records, trained):.1f}", f"{rate:g}" if rate else "-")
        )
    return Sheet(
        "claims 1 and 2: recall against what is trained",
        (
            "method",
            "trainable %",
            "without embeddings %",
            "trained languages",
            "of full",
            "unseen languages",
            "of full ",
            "± seeds",
            "rate",
        ),
        rows,
        f"text to image recall@10, percent [95 % over concept groups], mean of {results.setting.seeds} seeds, test "
        "concepts, mixed styles; "
        f"trained: {', '.join(trained)}; unseen: {', '.join(others)}; each method had "
        f"{1 if results.setting.quick else TRIALS} "
        "validation trial(s) for its learning rate, closed forms as many constants as they try",
    )


def plot(results: Results, axes: Any) -> None:
    """Draw recall over the share of trainable parameters."""
    first = next(iter(results.records.values()))[0]
    trained, unseen = list_trained_languages(first), list_unseen_languages(first)
    draw_against_share(
        axes,
        [
            (
                method,
                100 * records[0]["model"]["trained_share_without_embeddings"],
                compute_recall(records, trained),
                compute_recall(records, unseen),
            )
            for (method, _), records in results.records.items()
        ],
    )


def verdict(results: Results) -> str:
    """Judge each claim by the method with the best validation score among those small enough."""
    first = next(iter(results.records.values()))[0]
    trained, others = list_trained_languages(first), list_unseen_languages(first)
    reference = results.records.get((REFERENCE, ""))
    if reference is None:
        return "Cannot tell: `full` was not run."
    sentences = []
    for limit, aim, claim in ((7.0, 1.0, "Claim 1"), (1.0, 0.75, "Claim 2")):
        small = {
            m: r
            for (m, _), r in results.records.items()
            if 100 * r[0]["model"]["trained_share_without_embeddings"] < limit
        }
        if not small:
            sentences.append(f"{claim} cannot tell: no method below {limit:g} % was run.")
            continue
        best = max(small, key=lambda method: sum(record["validation"] for record in small[method]))
        share, other = compute_share(small[best], reference, trained), compute_share(small[best], reference, others)
        word = (
            "holds"
            if share.low >= aim
            else "holds partly"
            if share.value >= aim
            else "cannot tell"
            if share.high >= aim
            else "does not hold"
        )
        part = 100 * small[best][0]["model"]["trained_share_without_embeddings"]
        sentences.append(
            f"{claim} {word}: `{best}` trains {part:.2f} % and reaches {share.format_ratio()} of full training "
            f"on trained languages, {other.format_ratio()} on unseen languages."
        )
    return " ".join(sentences)
