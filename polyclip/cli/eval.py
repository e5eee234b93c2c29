"""polyclip eval."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from polyclip.packs import resolve_language


def command(
    name: Annotated[str, typer.Argument(help="Benchmark: emoji, xm3600 or held-out.")],
    model: Annotated[Path, typer.Option(help="Run folder made by 'polyclip align'.")],
    lang: Annotated[list[str] | None, typer.Option("--lang", help="Only this language; repeat for several. Default: all the benchmark has.")] = None,
    split: Annotated[str, typer.Option(help="train, validation or test.")] = "test",
    corpus: Annotated[str, typer.Option(help="For held-out: a corpus' name, or the path of a pack of your own.")] = "emoji",
    data: Annotated[Path | None, typer.Option(help="Folder of the benchmark's official files.")] = None,
    partial: Annotated[bool, typer.Option("--partial", help="Accept a subset of the official files; the result says so.")] = False,
    json: Annotated[Path | None, typer.Option(help="Also write the result to this file.")] = None,
) -> None:
    """Score a model on a benchmark, with intervals, trained and never-trained languages apart."""
    languages = [resolve_language(code) for code in lang or []]
    from polyclip.benchmarks._retrieval import Request
    from polyclip.report.result import write_result
    from polyclip.report.table import notes, tables
    from polyclip.run import evaluate

    result = evaluate(name, model, Request(languages=languages, split=split, data=data, partial=partial, corpus=corpus))
    console = Console()
    for table in tables(result.scores):
        console.print(table)
    console.print(notes(result), highlight=False, soft_wrap=True)
    if json is not None:
        write_result(json, result)
        console.print(f"result: {json}", highlight=False, soft_wrap=True)
