"""Numbers, names and tables as a model card shows them."""

from collections.abc import Sequence
from typing import Any

from polyclip.evaluation.chance import VERDICT, is_at_chance, is_telling
from polyclip.evaluation.results import Score
from polyclip.languages.schema import list_languages, load_language


def format_language_name(code: str) -> str:
    """Format a language as `Swahili (Kiswahili)`."""
    if code not in list_languages():
        return code
    pack = load_language(code)
    return pack.name if pack.own_name in ("", pack.name) else f"{pack.name} ({pack.own_name})"


def format_percent(value: float) -> str:
    """Format a fraction in percent with one decimal."""
    return f"{100 * value:.1f}"


def format_cell(score: Score) -> str:
    """Format a score as `12.3 [10.1, 15.2]`, with a verdict where it is not above chance; `-` where k says nothing."""
    if not is_telling(score):
        return "-"
    text = f"{format_percent(score.value)} [{format_percent(score.low)}, {format_percent(score.high)}]"
    return f"{text}, {VERDICT}" if is_at_chance(score) else text


def format_mean_cell(line: dict[str, Any] | None) -> str:
    """Format a mean over languages, whose interval may not be known."""
    if line is None:
        return ""
    return format_percent(line["value"]) + (
        f" [{format_percent(line['low'])}, {format_percent(line['high'])}]" if line["low"] is not None else ""
    )


def render_markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Render a Markdown table; bars and line breaks in cells are escaped."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(
        "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in line) + " |" for line in lines
    )
