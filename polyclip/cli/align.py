"""polyclip align."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from polyclip.cli._align_config import Asked, asked, corpus_of, limited, run_of
from polyclip.cli._align_options import Options
from polyclip.cli._from_library import imported
from polyclip.cli._options import command_of
from polyclip.core.progress import console
from polyclip.data.corpus import load_corpus
from polyclip.evaluation.results import Choice, Result
from polyclip.languages.schema import file_of
from polyclip.training.trackers import check_trackers


def align_with(options: Options) -> None:
    """Align a language: train small parts between a frozen text encoder and a frozen vision tower, then score them."""
    options = imported(options)
    if options.max_bad:
        load_corpus(corpus_of(options)).allow(options.max_bad)
    request = asked(options)
    limit = limited(options, request)
    check_trackers(options.track or [])
    run = replace(run_of(options, request), track=tuple(options.track or []))
    from polyclip.pipeline import align, align_within

    result, choice = (align(run), None) if limit is None else align_within(run, limit)
    told(result, request, choice)
    if options.max_drop is not None:
        gate(result, options.max_drop)


command = command_of(Options, align_with)


def gate(result: Result, most: float) -> None:
    """End with exit code 1 where more was forgotten than allowed."""
    from polyclip.report.table import too_forgetful

    sentence = too_forgetful(result.knowledge, most)
    if sentence:
        console.print(sentence, style="red", markup=False, highlight=False, soft_wrap=True)
        raise SystemExit(1)


def told(result: Result, request: Asked, choice: Choice | None) -> None:
    """Print the scores, and before and after them what auto tried and chose."""
    from polyclip.report.auto import trials_table, verdict
    from polyclip.report.table import knowledge_table, summary, tables

    printed = Console()
    if choice is not None:
        printed.print(trials_table(choice))
    for table in tables(result.scores):
        printed.print(table)
    if result.knowledge:
        since = (
            f"the run {Path(result.run['continued']['from']).name}"
            if "continued" in result.run
            else "the encoder as it came"
        )
        printed.print(knowledge_table(result.knowledge, since))
    printed.print(summary(result, request.folder), highlight=False, soft_wrap=True)
    if request.advice:
        printed.print(advised(request.advice), highlight=False, soft_wrap=True)
    if choice is not None:
        printed.print(verdict(choice), highlight=False, soft_wrap=True)


def advised(advice: dict[str, Any]) -> str:
    """`from languages/sw.toml: method head-mlp, borrow zu, xh`."""
    files = ", ".join(file_of(code) for code in advice["packs"])
    said = [
        f"{key} {', '.join(value) if isinstance(value, list) else value}"
        for key, value in advice.items()
        if key != "packs"
    ]
    return f"from {files}: {', '.join(said)}"
