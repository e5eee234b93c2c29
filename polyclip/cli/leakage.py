"""Command `polyclip leakage`."""

import json as json_text
from pathlib import Path
from typing import Annotated

import typer

from polyclip.core.terminal import PlainConsole
from polyclip.languages.resolve import resolve_language


def command(
    train: Annotated[
        str,
        typer.Argument(
            help="Training data: a corpus, the path of a pack, a folder, or the name of a known set such as coco."
        ),
    ],
    benchmark: Annotated[str, typer.Argument(help="Benchmark: the same, or a name such as xtd10 with --data.")],
    data: Annotated[
        Path | None, typer.Option(help="Folder of the benchmark's files, where it is given by name.")
    ] = None,
    lang: Annotated[
        list[str] | None,
        typer.Option("--lang", help="Only captions in this language; repeat for several. Default: all."),
    ] = None,
    train_split: Annotated[
        str, typer.Option(help="Split of the training corpus: train, validation, test or all.")
    ] = "train",
    split: Annotated[str, typer.Option(help="Split of the benchmark corpus.")] = "test",
    allow_leakage: Annotated[str, typer.Option(help="Reason to allow leakage: exit code 0; recorded in --out.")] = "",
    out: Annotated[
        Path | None,
        typer.Option(help="Write the findings to this JSON file. Default with --allow-leakage: leakage.json."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Find train/test overlap: a benchmark's images, file names and captions in the training data. Exit code 1
    for leakage.
    """
    languages = [resolve_language(code) for code in lang or []]
    from polyclip.core.storage import write_text
    from polyclip.evaluation.leakage.compare import compare, list_known_names, to_record
    from polyclip.evaluation.leakage.sources import collect_contents
    from polyclip.report.leakage import build_table, format_lines

    names = list_known_names()
    found = compare(
        collect_contents(train, train_split, languages, names),
        collect_contents(benchmark, split, languages, names, data),
    )
    text = json_text.dumps(to_record(found, allow_leakage), ensure_ascii=False, indent=1)
    path = out or (Path("leakage.json") if allow_leakage else None)
    if path is not None:
        write_text(path, text + "\n", what="what leaked")
    if json:
        typer.echo(text)
    else:
        console = PlainConsole()
        if found.leaks:
            console.print(build_table(found))
        for line in format_lines(found, allow_leakage):
            console.print(line, highlight=False, soft_wrap=True)
    if found.leaks and not allow_leakage:
        raise SystemExit(1)
