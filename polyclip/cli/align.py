"""Command `polyclip align`."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from polyclip.cli._align_options import AlignCommand
from polyclip.cli._options import make_command
from polyclip.core.progress import console
from polyclip.core.terminal import PlainConsole
from polyclip.data.corpus import load_corpus
from polyclip.evaluation.results import Choice, Result
from polyclip.languages.schema import get_pack_file
from polyclip.training.configure import build_budget, build_config
from polyclip.training.library_model import apply_library_model
from polyclip.training.options import AlignOptions, AlignRequest
from polyclip.training.request import choose_corpus, resolve_request
from polyclip.training.trackers import check_trackers


def align_with(command: AlignCommand) -> None:
    """Align a language: train small modules between a frozen text encoder and a frozen vision encoder, then
    evaluate them.
    """
    options = apply_library_model(command.plain())
    if command.targets:
        options = choose_for_exports(options, command.targets)
    if options.max_bad:
        load_corpus(choose_corpus(options)).allow_bad_samples(options.max_bad)
    request = resolve_request(options)
    limit = build_budget(options, request)
    check_trackers(options.track or [])
    run = replace(build_config(options, request), track=tuple(options.track or []))
    if options.max_drop is not None:
        from polyclip.training.preflight import check_forgetting_is_measured

        check_forgetting_is_measured(run)
    from polyclip.pipeline import align, align_within

    result, choice = (align(run), None) if limit is None else align_within(run, limit)
    print_scores(result, request, choice)
    if options.max_drop is not None:
        check_forgetting(result, options.max_drop)


def choose_for_exports(options: AlignOptions, targets: list[str]) -> AlignOptions:
    """Choose what can be exported to the targets, and print it."""
    from polyclip.exporters.choose import choose_for_targets

    chosen, line = choose_for_targets(options, targets)
    console.print(line, highlight=False, soft_wrap=True)
    return chosen


command = make_command(AlignCommand, align_with)


def check_forgetting(result: Result, most: float) -> None:
    """Exit with code 1 where more was forgotten than allowed."""
    from polyclip.report.table import describe_forgetting

    sentence = describe_forgetting(result.knowledge, most)
    if sentence:
        console.print(sentence, style="red", highlight=False, soft_wrap=True)
        raise SystemExit(1)


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
