"""What a translation kept and dropped, as a table and as JSON."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from polyclip.data.corpus_pack import CorpusPack
from polyclip.translation.config import Outcome
from polyclip.translation.filters import TranslationCandidate

EXAMPLES = 2


def group_candidates(outcome: Outcome) -> dict[str, list[TranslationCandidate]]:
    """Group candidates: kept, then dropped by reason, the most frequent first."""
    found: dict[str, list[TranslationCandidate]] = {}
    for reason, candidate in outcome.dropped:
        found.setdefault(reason, []).append(candidate)
    return {"kept": outcome.kept, **dict(sorted(found.items(), key=lambda pair: -len(pair[1])))}


def build_table(outcome: Outcome) -> Table:
    """Build a table of counts and shares by reason with two examples each; fits 80 columns."""
    whole = len(outcome.kept) + len(outcome.dropped)
    drawn = Table(
        title=f"{outcome.language.code} {outcome.language.name} by {outcome.engine}: {outcome.sentences:,} sentences, "
        f"{outcome.remembered:,} from the cache",
        title_justify="left",
        header_style="bold",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    drawn.add_column("captions", no_wrap=True)
    drawn.add_column("n", justify="right", no_wrap=True)
    drawn.add_column("%", justify="right", no_wrap=True)
    drawn.add_column("for example", overflow="fold")
    for reason, found in group_candidates(outcome).items():
        drawn.add_row(
            reason,
            f"{len(found):,}",
            f"{100 * len(found) / whole:.1f}",
            "\n".join(format_candidate(c) for c in found[:EXAMPLES]),
        )
    return drawn


def format_candidate(candidate: TranslationCandidate) -> str:
    """Format a candidate as `cat -> paka`."""
    return f"{candidate.source} -> {candidate.text or '-'}".replace("[", r"\[")


def collect_notes(outcome: Outcome) -> list[str]:
    """List the sentences below the table."""
    refused = [f"the engine left out: {reason} {count:,}" for reason, count in outcome.refused.items() if count]
    return [*outcome.notes, *refused]


def summarize_outcomes(outcomes: Sequence[Outcome], path: Path, pack: CorpusPack) -> dict[str, Any]:
    """Summarize the outcomes for other programs (schema 1).

    Args:
        outcomes: Outcomes of the translations, one per language.
        path: The corpus pack.
        pack: Its contents.

    Returns:
        An object for `json.dumps`.

    """
    return {
        "schema": 1,
        "corpus": str(path),
        "translation": {} if pack.translation is None else pack.translation.model_dump(),
        "languages": {
            outcome.language.code: {
                "engine": outcome.engine,
                "sentences": outcome.sentences,
                "from_cache": outcome.remembered,
                "kept": len(outcome.kept),
                "dropped": {
                    reason: {
                        "count": len(found),
                        "examples": [{"source": c.source, "text": c.text} for c in found[:EXAMPLES]],
                    }
                    for reason, found in group_candidates(outcome).items()
                    if reason != "kept"
                },
                "notes": collect_notes(outcome),
            }
            for outcome in outcomes
        },
        "licences": [licence.model_dump() for licence in pack.licences],
    }
