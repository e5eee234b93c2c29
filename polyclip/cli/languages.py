"""Command `polyclip languages`."""

import json as json_text
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from polyclip.core.terminal import PlainConsole
from polyclip.core.text import show_line
from polyclip.core.toml import LANGUAGES
from polyclip.errors import PolyclipError
from polyclip.languages.resolve import resolve_language
from polyclip.languages.schema import Language, load_languages

app = typer.Typer(
    add_completion=False,
    invoke_without_command=True,
    help="List the languages, show one, draft a new pack, or check packs.",
)
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.callback()
def print_languages(context: typer.Context, json: AsJson = False) -> None:
    """List the language packs."""
    if context.invoked_subcommand is not None:
        return
    packs = load_languages()
    if json:
        print_json([pack.model_dump(mode="json", exclude={"sources"}) for pack in packs])
        return
    table = Table("code", "name", "own name", "script", "in XLM-R", "in XM3600", header_style="bold", box=SIMPLE_HEAD)
    for pack in packs:
        table.add_row(
            pack.code,
            pack.name,
            pack.own_name,
            pack.script,
            "yes" if pack.in_xlmr else "-",
            "yes" if pack.xm3600 else "-",
        )
    PlainConsole().print(table)


def show(
    code: Annotated[str, typer.Argument(help="Any code or name of a language, or the path of a pack.")],
    json: AsJson = False,
) -> None:
    """Show everything a pack says, with its sources."""
    pack = resolve_language(code)
    if json:
        print_json(pack.model_dump(mode="json"))
        return
    table = Table(
        "key",
        title=show_line(f"{pack.code}: {pack.name}"),
        title_justify="left",
        header_style="bold",
        box=SIMPLE_HEAD,
    )
    table.add_column("value", overflow="fold")
    for key, value in flatten_pack(pack):
        table.add_row(show_line(key), show_line(value))
    for source in pack.sources:
        table.add_row(f"source, {source.checked}", f"{source.url}: {', '.join(source.fields)}")
    PlainConsole().print(table)


def flatten_pack(pack: Language) -> list[tuple[str, str]]:
    """Return the keys and values of a pack that are not empty; nested keys as `codes.nllb`."""
    rows: list[tuple[str, Any]] = []
    for key, value in pack.model_dump(mode="json", exclude={"sources"}).items():
        rows += (
            [(f"{key}.{name}", inner) for name, inner in value.items()] if isinstance(value, dict) else [(key, value)]
        )
    shown = {True: "yes", False: "no"}
    kept = [(key, value) for key, value in rows if value not in ("", [], None)]
    return [
        (key, shown[value] if isinstance(value, bool) else "\n".join(value) if isinstance(value, list) else str(value))
        for key, value in kept
    ]


def new(
    code: Annotated[str, typer.Argument(help="BCP 47 code of a language that has no pack, such as mg.")],
    out: Annotated[Path | None, typer.Option(help="File to write. Default: CODE.toml in this folder.")] = None,
) -> None:
    """Draft the pack of a new language from CLDR and the standards that are installed."""
    from polyclip.core.storage import write_text
    from polyclip.languages.draft import draft_pack
    from polyclip.languages.validate import find_faults

    found, text = draft_pack(code, date.today())
    path = out or Path(f"{found}.toml")
    if path.exists():
        raise PolyclipError(
            f"{path} exists and is not overwritten: give another file with --out, or move it away first."
        )
    write_text(path, text, what="the language pack")
    faults = [str(fault) for fault in find_faults(path)]
    checked = f"To do: {'; '.join(faults)}." if faults else "It passes 'polyclip languages check'."
    typer.echo(f"Wrote {path}. {checked} Compare each line with its source, then use it: polyclip align --lang {path}")


def check(
    files: Annotated[list[Path] | None, typer.Argument(help="Packs to check. Default: all built-in packs.")] = None,
    json: AsJson = False,
) -> None:
    """Check packs: schema, sources, references. Exit code 1 if anything is wrong."""
    from polyclip.languages.validate import find_faults

    paths = files or sorted(LANGUAGES.glob("*.toml"))
    found = {path: find_faults(path) for path in paths}
    if json:
        print_json([{"file": str(path), "faults": [vars(fault) for fault in faults]} for path, faults in found.items()])
    else:
        for path, faults in found.items():
            for fault in faults:
                typer.echo(show_line(f"{path}: {fault}"))
        wrong = sum(bool(faults) for faults in found.values())
        typer.echo(f"{len(found)} pack(s) checked, {wrong or 'none'} with faults.")
    if any(found.values()):
        raise SystemExit(1)


def print_json(value: object) -> None:
    """Print a value as JSON on standard output."""
    typer.echo(json_text.dumps(value, ensure_ascii=False, indent=1))
