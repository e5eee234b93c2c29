"""Command `polyclip doctor`."""

from typing import Annotated

import typer

from polyclip.core.terminal import PlainConsole
from polyclip.data.corpus import load_corpus
from polyclip.languages.resolve import resolve_language


def command(
    lang: Annotated[
        list[str],
        typer.Option("--lang", help="Language to examine, by any of its codes or its name; repeat for several."),
    ],
    text_encoder: Annotated[
        str, typer.Option(help="As in 'polyclip align': e5-small, a hub name, a folder.")
    ] = "e5-small",
    corpus: Annotated[
        str, typer.Option(help="Corpus whose training captions are read: a name, or the path of your own pack.")
    ] = "emoji",
    captions: Annotated[int, typer.Option(min=30, help="Maximum number of captions encoded per language.")] = 400,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Diagnose how a text encoder reads a language before training. Exit code 1 for a defect."""
    languages = list({language.code: language for language in map(resolve_language, lang)}.values())
    source = load_corpus(corpus)
    from polyclip.evaluation.tokenizer.checkup import examine  # torch is imported only once the arguments are right
    from polyclip.models.backbone import describe
    from polyclip.report.tokenizer import build_report, format_json

    found = examine(describe("encoders", text_encoder), source, languages, captions)
    if json:
        typer.echo(format_json(found))
    else:
        console = PlainConsole()
        for piece in build_report(found):
            console.print(piece)
    if found.defects:
        raise SystemExit(1)
