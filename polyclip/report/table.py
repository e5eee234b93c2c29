"""Retrieval scores as tables, trained and unseen languages apart."""

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.table import Table

from polyclip.core.fields import read_fields
from polyclip.core.terminal import make_text
from polyclip.errors import DataError
from polyclip.evaluation.chance import RECALLS, VERDICT, describe_chance, is_at_chance, is_telling, list_telling
from polyclip.evaluation.results import Result, Retention, Score
from polyclip.languages.schema import list_languages, load_language
from polyclip.report.hints import format_next_steps

MARK = "~"  # beside a score that cannot be told apart from chance
VISION = "vision tower"
SHOWN = 2  # languages with a column of their own in the overview: it fits 80 columns
Figures = dict[str, Score]  # metric -> score


def build_tables(scores: Sequence[Score], without: Sequence[str] = ()) -> list[Table]:
    """Build tables of both directions of each corpus' first protocol, and an overview of all protocols.

    Args:
        scores: Scores of a result.
        without: Codes of languages that were asked for and have no captions to score; each gets a row.

    """
    protocols = list(dict.fromkeys(score.protocol for score in scores))
    first = {score.benchmark: score.protocol for score in reversed(scores)}  # of each of several corpora
    headlines = [first[name] for name in dict.fromkeys(score.benchmark for score in scores)]
    directions = ("text_to_image", "image_to_text")
    found = [build_table(scores, protocol, direction, without) for protocol in headlines for direction in directions]
    return found + ([build_overview(scores, protocols)] if len(protocols) > 1 else [])


def build_table(scores: Sequence[Score], protocol: str, direction: str, without: Sequence[str] = ()) -> Table:
    """Build a table of one protocol and direction, in percent with 95 % intervals; fits 80 columns.

    Recalls of a k that is a large part of the gallery are left out, see `polyclip.evaluation.chance`.
    """
    by_language = group_scores(scores, protocol, direction)
    first = next(iter(by_language.values()))
    metrics = list_telling(score for found in by_language.values() for score in found.values())
    things = "images" if direction == "text_to_image" else "captions"
    chance = ", ".join(f"{100 * first[metric].chance:.1f}" for metric in metrics)
    left_out = f"; means without {', '.join(without)}" if without else ""
    marked = any(MARK in format_cell(found[metric]) for found in by_language.values() for metric in metrics)
    drawn = Table(
        title=f"{first['recall@1'].benchmark} · {protocol} · {first['recall@1'].split} · {direction.replace('_', ' ')}",
        caption=f"percent [95 % interval]; n queries among {format_range(by_language.values(), 'gallery')} {things}; "
        f"chance {chance}; rank: median{f'; {MARK} {VERDICT}' if marked else ''}"
        f"{left_out}",
        header_style="bold",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    drawn.add_column("language", max_width=18)
    for heading in ("n", *metrics, "rank"):
        drawn.add_column(heading, justify="right", no_wrap=True)
    for seen, heading in ((True, "trained"), (False, "unseen (zero-shot)")):
        group = {code: found for code, found in by_language.items() if found["recall@1"].seen is seen}
        if group:
            add_languages(drawn, heading, group, metrics)
    if without:
        drawn.add_section()
        drawn.add_row(make_text("no captions here", "bold"), "", *(make_text("no score", "bold") for _ in metrics), "")
        for code in without:
            drawn.add_row(format_language(code), "0", *("-" for _ in metrics), "-")
    return drawn


def add_languages(drawn: Table, heading: str, group: dict[str, Figures], metrics: Sequence[str]) -> None:
    """Add a section with the mean of some languages, and a row for each, the best last recall first."""
    drawn.add_section()
    drawn.add_row(
        make_text(heading, "bold"),
        "",
        *(make_text(format_mean(group, metric), "bold") for metric in metrics),
        "",
    )
    for code, found in sorted(group.items(), key=lambda pair: -pair[1][metrics[-1]].value):
        drawn.add_row(
            format_language(code),
            f"{found['recall@1'].queries}",
            *(format_cell(found[metric]) for metric in metrics),
            format_rank(found["median_rank"]),
        )


def build_overview(scores: Sequence[Score], protocols: Sequence[str]) -> Table:
    """Build a table of text-to-image recall by protocol: two trained languages, means of trained and unseen ones.

    The recall is the one of the largest k that means something under every protocol.
    """
    trained = list(
        dict.fromkeys(score.language for score in scores if score.seen and score.language in list_languages())
    )[:SHOWN]
    seen = {score.language: score.seen for score in scores}
    known, unknown = (sum(value is wanted for value in seen.values()) for wanted in (True, False))
    metric = choose_metric(scores)
    drawn = Table(
        title=f"text to image {metric} by protocol, percent",
        caption=f"trained, unseen: unweighted means over {known} trained and {unknown} unseen languages",
        header_style="bold",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    drawn.add_column("protocol", overflow="fold")
    for heading in ("gallery", *trained, "trained", "unseen", "chance"):
        drawn.add_column(heading, justify="right", no_wrap=True)
    for protocol in protocols:
        by_language = group_scores(scores, protocol, "text_to_image")
        values = [f"{100 * by_language[code][metric].value:.1f}" if code in by_language else "-" for code in trained]
        for wanted in (True, False):
            group = {code: found for code, found in by_language.items() if found["recall@1"].seen is wanted}
            values.append(f"{compute_mean(group, metric):.1f}" if group else "-")
        chance = next(iter(by_language.values()))[metric].chance
        drawn.add_row(protocol, format_range(by_language.values(), "gallery"), *values, f"{100 * chance:.1f}")
    return drawn


def choose_metric(scores: Iterable[Score]) -> str:
    """Choose the recall of the largest k that means something wherever it stands, text to image.

    Args:
        scores: Scores of any protocols and languages.

    Returns:
        Name of the metric.

    """
    asked = [score for score in scores if score.direction == "text_to_image" and score.metric in RECALLS]
    unclear = {score.metric for score in asked if not is_telling(score)}
    return next(metric for metric in reversed(RECALLS) if metric not in unclear)


def group_scores(scores: Sequence[Score], protocol: str, direction: str) -> dict[str, Figures]:
    """Group the scores of one protocol and direction by language and metric."""
    found: dict[str, Figures] = {}
    for score in scores:
        if (score.protocol, score.direction) == (protocol, direction):
            found.setdefault(score.language, {})[score.metric] = score
    return found


def compute_mean(group: dict[str, Figures], metric: str) -> float:
    """Compute the unweighted mean over languages, in percent."""
    return 100 * sum(found[metric].value for found in group.values()) / len(group)


def format_mean(group: dict[str, Figures], metric: str) -> str:
    """Format the mean over languages, where the metric means something in all of them."""
    telling = all(is_telling(found[metric]) for found in group.values())
    return f"mean {compute_mean(group, metric):.1f}" if telling else "-"


def format_range(found: Iterable[Figures], field: str) -> str:
    """Format a number as `355`, or `282 to 355` where languages differ."""
    values = sorted({read_fields(figure["recall@1"], (field,))[field] for figure in found})
    return f"{values[0]}" if len(values) == 1 else f"{values[0]} to {values[-1]}"


def format_cell(score: Score) -> str:
    """Format a score as `12.3 [10, 15]`, with a mark where it is not above chance; `-` where k says nothing."""
    if not is_telling(score):
        return "-"
    return format_interval(score) + (f" {MARK}" if is_at_chance(score) else "")


def format_interval(score: Score) -> str:
    """Format a score in percent with its interval, as `12.3 [10, 15]`."""
    return f"{100 * score.value:.1f} [{100 * score.low:.0f}, {100 * score.high:.0f}]"


def format_verdicts(scores: Sequence[Score], named: Collection[str]) -> list[str]:
    """Say in words which of the named languages do no better than chance.

    Args:
        scores: Scores of a result.
        named: Codes of the languages to look at.

    Returns:
        A sentence for each of them.

    """
    first = {score.language: score for score in reversed(scores) if score.metric == RECALLS[0]}
    return [
        f"{format_language(code)}: {VERDICT} with {first[code].queries} captions"
        for code in describe_chance(scores, named)
    ]


def format_rank(score: Score) -> str:
    """Format the median rank, 1 is best."""
    return f"{round(score.value * score.gallery)}"


def format_language(code: str) -> str:
    """Format a language as `sw Swahili`, or its code where there is no pack."""
    return f"{code} {load_language(code).name.partition(' (')[0]}" if code in list_languages() else code


def build_retention_table(kept: Sequence[Retention], since: str = "the encoder as it came") -> Table:
    """Build a table of retention: what the encoders, or the run that was continued, could do before and after."""
    drawn = Table(
        title=f"retention: {since}, and after alignment",
        caption="-> recall@1 of names among those of the language after the arrow; percent [95 % interval of the "
        "change]",
        header_style="bold",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    for number, heading in enumerate(("of", "asked", "before", "after", "change")):
        drawn.add_column(heading, justify="right" if number > 1 else "left", no_wrap=True)
    for line in kept:
        change = f"{100 * line.change:+.1f} [{100 * line.low:+.0f}, {100 * line.high:+.0f}]"
        drawn.add_row(line.part, line.question, f"{100 * line.before:.1f}", f"{100 * line.after:.1f}", change)
    return drawn


def describe_forgetting(kept: Sequence[Retention], most: float) -> str:
    """Describe the largest drop in retention if it exceeds the limit.

    Args:
        kept: Retention of all parts.
        most: Largest drop that is allowed, in percentage points.

    Returns:
        A sentence; empty where no text part dropped by more.

    Raises:
        DataError: Retention of text was not measured.

    """
    text = [line for line in kept if line.part != VISION]
    if not text:
        raise DataError(
            "--max-drop has nothing to check: the corpus names too few concepts in a language that was not trained."
        )
    worst = min(text, key=lambda line: line.change)
    if -100 * worst.change <= most:
        return ""
    return (
        f"The {worst.part} fell by {-100 * worst.change:.1f} points in {worst.question}, more than --max-drop "
        f"{most:g} allows. The run is kept."
    )


def format_summary(result: Result, folder: Path) -> str:
    """Format what was trained, how long it took, and what to run next."""
    model, seconds = result.model, result.seconds
    return "\n".join(
        [
            f"{model['method']}: {model['trained_parameters']:,} of {model['total_parameters']:,} parameters trained "
            f"({100 * model['trained_share']:.2f} %; {100 * model['trained_share_without_embeddings']:.2f} % without "
            "the embedding matrix)",
            f"encode {seconds['encode']:.0f} s, train {seconds['train']:.0f} s, evaluate {seconds['evaluate']:.0f} s",
            f"run folder: {folder}",
            *format_next_steps(result.run, folder, result.scores),
        ]
    )


def describe_training(result: Result) -> list[str]:
    """Say how much of a small corpus the scored models and the one that is kept learnt from; nothing of a large one."""
    return [note for note in result.origin["notes"] if "captioned images" in note]


def format_notes(result: Result) -> str:
    """Format the notes of a result."""
    return "\n".join(result.origin["notes"])
