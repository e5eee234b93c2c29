"""Command `polyclip align`."""

from pathlib import Path
from typing import Any

from polyclip.alignment import describe_drop, run_alignment
from polyclip.cli._align_options import AlignCommand
from polyclip.cli._options import make_command
from polyclip.core.progress import console
from polyclip.core.terminal import PlainConsole
from polyclip.evaluation.results import Choice, Result
from polyclip.languages.schema import get_pack_file
from polyclip.training.options import AlignRequest


def align_with(command: AlignCommand) -> None:
    """Align a language: train small modules between a frozen text encoder and a frozen vision encoder, then
    evaluate them.
    """
    done = run_alignment(command.plain())
    print_scores(done.result, done.request, done.choice)
    if forgotten := describe_drop(done.result, command.max_drop):
        console.print(forgotten, style="red", highlight=False, soft_wrap=True)
        raise SystemExit(1)


command = make_command(AlignCommand, align_with)


def print_scores(result: Result, request: AlignRequest, choice: Choice | None) -> None:
    """Print the scores, and for --method auto the trials and the choice."""
    from polyclip.report.auto import build_trials_table, describe_choice
    from polyclip.report.table import (
        build_retention_table,
        build_tables,
        describe_training,
        format_summary,
        format_verdicts,
    )

    printed = PlainConsole()
    if choice is not None:
        printed.print(build_trials_table(choice))
    for table in build_tables(result.scores, result.origin.get("without_score", [])):
        printed.print(table)
    if result.knowledge:
        since = (
            f"the run {Path(result.run['continued']['from']).name}"
            if "continued" in result.run
            else "the encoder as it came"
        )
        printed.print(build_retention_table(result.knowledge, since))
    for line in [*format_verdicts(result.scores, result.run["languages"]), *describe_training(result)]:
        printed.print(line, highlight=False, soft_wrap=True)
    printed.print(format_summary(result, request.folder), highlight=False, soft_wrap=True)
    if request.advice:
        printed.print(format_advice(request.advice), highlight=False, soft_wrap=True)
    if choice is not None:
        printed.print(describe_choice(choice), highlight=False, soft_wrap=True)


def format_advice(advice: dict[str, Any]) -> str:
    """Format what language packs decided: `from languages/sw.toml: method head-mlp, borrow zu, xh`."""
    files = ", ".join(get_pack_file(code) for code in advice["packs"])
    said = [
        f"{key} {', '.join(value) if isinstance(value, list) else value}"
        for key, value in advice.items()
        if key != "packs"
    ]
    return f"from {files}: {', '.join(said)}"
