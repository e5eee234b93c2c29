"""Command `polyclip report`."""

from pathlib import Path
from typing import Annotated

import typer

from polyclip.core.terminal import PlainConsole
from polyclip.languages.resolve import resolve_language
from polyclip.languages.schema import load_language


def command(
    run: Annotated[Path, typer.Argument(help="Run folder made by 'polyclip align'.")],
    out: Annotated[Path | None, typer.Option(help="The HTML file; default RUN/report.html.")] = None,
    lang: Annotated[
        list[str] | None,
        typer.Option("--lang", help="Show queries in this language; repeatable. Default: the trained languages."),
    ] = None,
    pictures: Annotated[bool, typer.Option(help="Show example queries with images, which encodes them.")] = True,
) -> None:
    """Write a self-contained HTML report of a run: recall with intervals, curves, example queries with images,
    licences.
    """
    languages = [resolve_language(code) for code in lang or []]
    from polyclip.report.html import write_page
    from polyclip.report.model_card import write_card
    from polyclip.report.run_facts import read_facts

    facts = read_facts(run)
    console, found = PlainConsole(), None
    if pictures:
        from polyclip.report.examples import collect_examples
        from polyclip.report.fonts import find_missing_fonts

        found = collect_examples(
            run,
            facts.run["corpus"],
            languages or [load_language(code) for code in facts.run["languages"]],
            facts.run["languages"],
        )
        for sentence in find_missing_fonts(found.texts()):
            console.print(sentence, style="yellow", highlight=False, soft_wrap=True)
    path = out or run / "report.html"
    write_page(path, facts, found)
    card = write_card(run)
    console.print(f"report: {path}", highlight=False, soft_wrap=True)
    console.print(
        f"model card: {card or 'README.md was edited by hand and is not overwritten'}", highlight=False, soft_wrap=True
    )
