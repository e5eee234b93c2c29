"""Command `polyclip corpora`: corpora to train on, benchmarks, and the layout of their files."""

import json as json_text
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from polyclip.core.terminal import PlainConsole, make_text
from polyclip.data.corpus import list_corpora, load_corpus
from polyclip.data.corpus_pack import CorpusPack, Translation
from polyclip.errors import UnknownName
from polyclip.evaluation.facts import BenchmarkFacts, list_benchmarks, load_facts

app = typer.Typer(
    add_completion=False, invoke_without_command=True, help="List the corpora and benchmarks, or show one."
)
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.callback()
def print_corpora(context: typer.Context, json: AsJson = False) -> None:
    """List the corpora and the benchmarks, with their licences."""
    if context.invoked_subcommand is not None:
        return
    packs, benchmarks = (
        [load_corpus(name).pack for name in list_corpora()],
        [load_facts(name) for name in list_benchmarks()],
    )
    if json:
        print_json(
            {
                "corpora": [pack.model_dump(mode="json") for pack in packs],
                "benchmarks": [found.model_dump(mode="json") for found in benchmarks],
            }
        )
        return
    for pack in packs:
        PlainConsole().print(build_corpus_table(pack))
    drawn = build_table(
        "benchmark: polyclip eval NAME",
        ("benchmark", "what it is", "licence"),
        [(f.name, f.about, f.licence) for f in benchmarks],
    )
    drawn.caption = "files, counts, layouts and traps: polyclip corpora show NAME"
    PlainConsole().print(drawn)


def show(
    name: Annotated[str, typer.Argument(help="A corpus, the path of a pack, or a benchmark.")],
    json: AsJson = False,
) -> None:
    """Show where a corpus or benchmark comes from, its licence, size, exact layout, counts and traps."""
    is_corpus = name in list_corpora() or name.endswith(".toml") or Path(name).exists()
    if not is_corpus and name.replace("_", "-") not in list_benchmarks():
        raise UnknownName("corpus or benchmark", name, list_corpora() + list_benchmarks())
    found = load_corpus(name).pack if is_corpus else load_facts(name)
    if json:
        print_json(found.model_dump(mode="json"))
    elif isinstance(found, BenchmarkFacts):
        PlainConsole().print(build_benchmark_table(found))
    else:
        PlainConsole().print(build_corpus_table(found))
        if found.translation is not None:
            PlainConsole().print(build_translation_table(found.translation))


def build_corpus_table(pack: CorpusPack) -> Table:
    """Build a table of a corpus and its licences."""
    rows = [(licence.part, licence.spdx, licence.holder) for licence in pack.licences]
    return build_table(f"{pack.name}: {pack.about}", ("part", "licence", "holder"), rows)


def build_translation_table(translation: Translation) -> Table:
    """Build a table of how machine-translated captions were made."""
    rows = [
        ("captions of", f"{translation.base}, {' and '.join(translation.splits)}"),
        ("from, into", f"{translation.source}, {' '.join(translation.languages)}"),
        ("by", ", ".join(translation.names)),
        ("human captions", "removed" if translation.without_human else "kept"),
        ("filters", ", ".join(f"{name} {value}" for name, value in translation.filters.items())),
    ]
    return build_table("translated", ("what", ""), rows)


def build_benchmark_table(found: BenchmarkFacts) -> Table:
    """Build a table of everything known about a benchmark before its files are read."""
    rows: list[tuple[str | Text, ...]] = [("from", text) for text in found.where]
    rows += [("licence", found.licence), ("size", found.size), ("protocols", ", ".join(found.protocols))]
    rows += [
        (f"hub, {copy.repository}", copy.revision or "name a revision: hub:OWNER/NAME@REVISION") for copy in found.hub
    ]
    for layout in found.layouts:
        rows.append(("layout", make_text(layout.called, "bold")))
        rows += [("", f"{file.path}: {file.what}") for file in layout.files]
    rows += [
        (f"split {name}", text) for name, split in found.splits.items() if (text := format_counts(split.model_dump()))
    ]
    rows += [("trap", text) for text in found.traps] + [("source", source.url) for source in found.sources]
    return build_table(f"{found.name}: {found.about}", ("what", ""), rows)


def format_counts(split: dict[str, Any]) -> str:
    """Format the counts of a split: `3600 images; captions ar 7367, ...`."""
    said = [f"{split['pictures']} images"] if split["pictures"] else []
    said += [f"{split['files']} languages, one caption per image"] if split["files"] else []
    for what, key in (("images", "galleries"), ("captions", "captions")):
        said += [f"{what} " + ", ".join(f"{code} {count}" for code, count in split[key].items())] if split[key] else []
    return "; ".join(said)


def build_table(title: str, headings: tuple[str, ...], rows: Sequence[tuple[str | Text, ...]]) -> Table:
    """Build a table that folds long text at the terminal's width."""
    drawn = Table(title=title, title_justify="left", header_style="bold", box=SIMPLE_HEAD)
    for heading in headings:
        drawn.add_column(heading, overflow="fold")
    for row in rows:
        drawn.add_row(*row)
    return drawn


def print_json(value: object) -> None:
    """Print a value as JSON on standard output."""
    typer.echo(json_text.dumps(value, ensure_ascii=False, indent=1))
