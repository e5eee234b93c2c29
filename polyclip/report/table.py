"""Scores as a table people can read: trained languages and languages never trained apart."""

from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from polyclip.packs import known_languages, load_language
from polyclip.records import Result, Score

METRICS = ("recall@1", "recall@5", "recall@10")


def tables(scores: Sequence[Score]) -> list[Table]:
    """One table a protocol and direction, the first protocol's both directions and the others' text to image."""
    protocols = list(dict.fromkeys(score.protocol for score in scores))
    wanted = [(protocols[0], "text_to_image"), (protocols[0], "image_to_text")]
    return [table(scores, protocol, direction) for protocol, direction in wanted]


def table(scores: Sequence[Score], protocol: str, direction: str) -> Table:
    """Rows of one protocol and direction, in percent with 95 % intervals."""
    chosen = [score for score in scores if (score.protocol, score.direction) == (protocol, direction)]
    by_language: dict[str, dict[str, Score]] = {}
    for score in chosen:
        by_language.setdefault(score.language, {})[score.metric] = score
    first = next(iter(by_language.values()))
    galleries = {found["recall@1"].gallery for found in by_language.values()}
    size = f"{min(galleries)}" if len(galleries) == 1 else f"{min(galleries)} to {max(galleries)}"
    chance = ", ".join(f"{100 * first[metric].chance:.1f}" for metric in METRICS)
    things = "pictures" if direction == "text_to_image" else "captions"
    title = f"{first['recall@1'].benchmark} · {protocol} · {first['recall@1'].split} · {direction.replace('_', ' ')}"
    drawn = Table(title=title, caption=f"percent [95 % interval]; gallery of {size} {things}; chance {chance}", header_style="bold")
    drawn.add_column("language")
    for heading in ("queries", "recall@1", "recall@5", "recall@10", "median rank"):
        drawn.add_column(heading, justify="right")
    for seen, heading in ((True, "trained"), (False, "never trained")):
        group = [(code, found) for code, found in by_language.items() if found["recall@1"].seen is seen]
        if group:
            drawn.add_section()
            drawn.add_row(f"[bold]{heading}[/bold]")
        for code, found in sorted(group, key=lambda pair: -pair[1]["recall@10"].value):
            drawn.add_row(label(code), f"{found['recall@1'].queries}", *(cell(found[m]) for m in METRICS), rank_cell(found["median_rank"]))
    return drawn


def cell(score: Score) -> str:
    """`12.3 [10.1, 14.6]`."""
    return f"{100 * score.value:.1f} [{100 * score.low:.1f}, {100 * score.high:.1f}]"


def rank_cell(score: Score) -> str:
    """The median rank itself, 1 is best."""
    return f"{round(score.value * score.gallery)}"


def label(code: str) -> str:
    """`sw Swahili`, or the locale alone where no pack stands for it."""
    return f"{code} {load_language(code).name}" if code in known_languages() else code


def summary(result: Result, folder: Path) -> str:
    """What was trained, how long it took, and what to type next."""
    model, seconds = result.model, result.seconds
    return "\n".join(
        [
            f"{model['method']}: {model['trained_parameters']:,} of {model['total_parameters']:,} parameters trained "
            f"({100 * model['trained_share']:.2f} %; {100 * model['trained_share_without_embeddings']:.2f} % without the token table)",
            f"encode {seconds['encode']:.0f} s, train {seconds['train']:.0f} s, evaluate {seconds['evaluate']:.0f} s",
            f"run folder: {folder}",
            f"every language: polyclip eval emoji --model {folder}",
            f'search: polyclip search "paka mweusi" --images PICTURES --model {folder}',
        ]
    )


def notes(result: Result) -> str:
    """What a reader of the scores must know."""
    return "\n".join(result.origin["notes"])
