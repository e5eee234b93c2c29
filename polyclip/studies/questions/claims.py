"""Claims 1 and 2: less than 7 % of the parameters do what full training does, less than 1 % do three quarters of it."""

from typing import Any

from polyclip.studies.figures import Record, other_languages, recall_of, share_of, spread, trained_languages
from polyclip.studies.labels import beside
from polyclip.studies.plan import TRIALS, every_method
from polyclip.studies.runner import Results, Setting, Variant
from polyclip.studies.sheet import Sheet

CLAIM = "Updating less than 7 % of the parameters matches full training (claim 1), less than 1 % matches 75 % of it (claim 2)."
REFERENCE = "full"


def plan(setting: Setting) -> list[Variant]:
    """Every method on all of the data."""
    return every_method(setting)


def table(results: Results) -> Sheet:
    """Recall on languages trained and never trained, as such and as a share of full training."""
    first = next(iter(results.records.values()))[0]
    trained, others = trained_languages(first), other_languages(first)
    reference = results.records.get((REFERENCE, ""))
    rows = []
    for (method, _), records in sorted(results.records.items(), key=lambda item: -recall_of(item[1], trained).value):
        model = records[0]["model"]
        cells = [
            recall_of(records, trained).percent(),
            share_text(records, reference, trained),
            recall_of(records, others).percent(),
            share_text(records, reference, others),
        ]
        shares = (f"{100 * model['trained_share']:.2f}", f"{100 * model['trained_share_without_embeddings']:.2f}")
        rate = results.chosen[method, ""]
        rows.append((method, *shares, *cells, f"{100 * spread(records, trained):.1f}", f"{rate:g}" if rate else "-"))
    return Sheet(
        "claims 1 and 2: recall against what is trained",
        (
            "method",
            "trained %",
            "without token table %",
            "trained languages",
            "of full",
            "never trained",
            "of full ",
            "seeds ±",
            "rate",
        ),
        rows,
        f"text to image recall@10, percent [95 % over concept groups], mean of {results.setting.seeds} seeds, test concepts, mixed styles; "
        f"trained: {', '.join(trained)}; never trained: {', '.join(others)}; each method had {1 if results.setting.quick else TRIALS} "
        "validation trial(s) for its learning rate, closed forms as many constants as they try",
    )


def share_text(records: list[Record], reference: list[Record] | None, languages: list[str]) -> str:
    """As a share of the reference; a dash without one."""
    return "-" if reference is None else share_of(records, reference, languages).ratio()


def plot(results: Results, axes: Any) -> None:
    """Recall against trained parameters."""
    first = next(iter(results.records.values()))[0]
    points = []
    for languages, marker, label in (
        (trained_languages(first), "o", "trained languages"),
        (other_languages(first), "s", "never trained"),
    ):
        for (method, _), records in results.records.items():
            figure = recall_of(records, languages)
            share = max(100 * records[0]["model"]["trained_share_without_embeddings"], 0.1)
            error = [[100 * (figure.value - figure.low)], [100 * (figure.high - figure.value)]]
            axes.errorbar(
                share,
                100 * figure.value,
                yerr=error,
                fmt=marker,
                color="C0" if marker == "o" else "C1",
                label=label,
                capsize=2,
            )
            if marker == "o":
                points.append((share, 100 * figure.value, method))
            label = "_"
    for limit in (1, 7):
        axes.axvline(limit, color="grey", linewidth=0.7, linestyle=":")
    axes.set(
        xscale="log",
        xlabel="trained parameters, % without the token table (0 drawn at 0.1)",
        ylabel="text to image recall@10, %",
    )
    beside(axes, points)
    axes.legend(loc="upper left", fontsize=7)


def verdict(results: Results) -> str:
    """One sentence a claim, from the figures alone: of the method that validation prefers among those that are small enough."""
    first = next(iter(results.records.values()))[0]
    trained, others = trained_languages(first), other_languages(first)
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
        share, other = share_of(small[best], reference, trained), share_of(small[best], reference, others)
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
            f"{claim} {word}: `{best}` trains {part:.2f} % and reaches {share.ratio()} of full training "
            f"on trained languages, {other.ratio()} on languages never trained."
        )
    return " ".join(sentences)
