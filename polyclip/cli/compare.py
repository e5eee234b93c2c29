"""Command `polyclip compare`."""

from pathlib import Path
from typing import Annotated

import typer

from polyclip.core.terminal import PlainConsole
from polyclip.languages.resolve import resolve_language


def command(
    a: Annotated[Path, typer.Argument(help="Run folder, or a file made by 'polyclip eval --json'.")],
    b: Annotated[Path, typer.Argument(help="The same; differences are B - A.")],
    benchmark: Annotated[
        str, typer.Option(help="Evaluate both runs on this benchmark now. Default: compare stored results.")
    ] = "",
    lang: Annotated[
        list[str] | None,
        typer.Option("--lang", help="Only this language; repeat for several. Default: all that both runs have."),
    ] = None,
    metric: Annotated[
        str, typer.Option(help="recall@1, recall@5, recall@10, mean_recall, mrr or ndcg@10.")
    ] = "recall@10",
    direction: Annotated[str, typer.Option(help="text-to-image or image-to-text.")] = "text-to-image",
    protocol: Annotated[str, typer.Option(help="Default: the benchmark's first.")] = "",
    split: Annotated[str, typer.Option(help="With --benchmark: train, validation or test.")] = "test",
    corpus: Annotated[
        str, typer.Option(help="With --benchmark held-out: a corpus name, or the path of a pack of your own.")
    ] = "emoji",
    data: Annotated[Path | None, typer.Option(help="With --benchmark: folder of its official files.")] = None,
    partial: Annotated[
        bool, typer.Option("--partial", help="With --benchmark: accept a subset of the official files.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Write compare.json and compare.png, a forest plot, into this folder.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of the table.")] = False,
) -> None:
    """Test per language whether B is better or worse than A: paired by query, corrected for the number of languages."""
    languages = [resolve_language(code) for code in lang or []]
    from polyclip.evaluation.retrieval import Request
    from polyclip.evaluation.significance import ComparisonOptions, compare
    from polyclip.report.comparison import (
        build_comparison_table,
        format_comparison_json,
        summarize_comparison,
        write_comparison,
    )
    from polyclip.report.per_query import collect_outcomes, read_outcomes

    question = ComparisonOptions(
        metric=metric,
        direction=direction.replace("-", "_"),
        protocol=protocol,
        languages=tuple(language.code for language in languages),
    )
    if benchmark:
        from polyclip.pipeline import evaluate

        request = Request(languages=languages, split=split, data=data, partial=partial, corpus=corpus)
        first, second = (collect_outcomes(evaluate(benchmark, side, request).scores) for side in (a, b))
    else:
        first, second = (read_outcomes(side) for side in (a, b))
    found = compare(first, second, question, (str(a), str(b)))
    console = PlainConsole()
    if json:
        typer.echo(format_comparison_json(found), nl=False)
    else:
        console.print(build_comparison_table(found))
        console.print(summarize_comparison(found), highlight=False, soft_wrap=True)
    for path in write_comparison(out, found) if out is not None else []:
        PlainConsole(stderr=json).print(f"written: {path}", highlight=False, soft_wrap=True)
