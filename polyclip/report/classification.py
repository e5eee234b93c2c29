"""Zero-shot classification scores as tables, led by chance-corrected accuracy, which is comparable across languages."""

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from polyclip.core.terminal import make_text
from polyclip.evaluation.results import Score
from polyclip.report.table import Figures, compute_mean, format_interval, format_language, group_scores

DIRECTION = "classification"
CAPTION = (
    "percent [95 % interval over images]; of: classes; n: images; corrected: acc@1 with chance at 0 and best "
    "at 100, comparable between languages"
)
MEANS = ("acc1_corrected", "acc1", "acc5")


def build_tables(scores: Sequence[Score]) -> list[Table]:
    """Build a table for each protocol of the classification scores; none where there are no such scores."""
    found = [score for score in scores if score.direction == DIRECTION]
    return [build_table(found, protocol) for protocol in dict.fromkeys(score.protocol for score in found)]


def build_table(scores: Sequence[Score], protocol: str) -> Table:
    """Build a table of one protocol, trained and unseen languages apart, in percent; fits 80 columns."""
    by_language = group_scores(scores, protocol, DIRECTION)
    first = next(iter(by_language.values()))["acc1"]
    drawn = Table(
        title=f"{first.benchmark} · {protocol} · {first.split} · zero-shot classification",
        caption=CAPTION,
        header_style="bold",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    drawn.add_column("language")  # wraps where a name is long
    for heading in ("corrected", "acc@1", "chance", "acc@5", "of", "n"):
        drawn.add_column(heading, justify="right", no_wrap=True)
    for seen, heading in ((True, "trained"), (False, "unseen (zero-shot)")):
        group = {code: found for code, found in by_language.items() if found["acc1"].seen is seen}
        if group:
            drawn.add_section()
            corrected, acc1, acc5 = (format_mean(group, metric) for metric in MEANS)
            drawn.add_row(make_text(heading, "bold"), corrected, acc1, "", acc5, "", "")
        for code, found in sorted(group.items(), key=lambda pair: -pair[1]["acc1_corrected"].value):
            drawn.add_row(*format_row(code, found))
    return drawn


def format_mean(group: dict[str, Figures], metric: str) -> Text:
    """Format the unweighted mean over languages; empty where a language has too few classes for the metric."""
    value = f"{compute_mean(group, metric):.1f}" if all(metric in found for found in group.values()) else ""
    return make_text(value, "bold")


def format_row(code: str, found: Figures) -> list[str]:
    """Format the row of one language; `-` where it has too few classes for acc@5."""
    acc1 = found["acc1"]
    acc5 = f"{100 * found['acc5'].value:.1f}" if "acc5" in found else "-"
    return [
        format_language(code),
        format_interval(found["acc1_corrected"]),
        format_interval(acc1),
        f"{100 * acc1.chance:.1f}",
        acc5,
        f"{acc1.gallery}",
        f"{acc1.queries:,}",
    ]
