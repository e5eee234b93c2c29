"""Command `polyclip corpus`: a corpus of one's own from photographs and a spreadsheet."""

import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from polyclip.core.terminal import PlainConsole
from polyclip.errors import DataError

if TYPE_CHECKING:
    from polyclip.data.tables.create import TableOptions

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Make a corpus of photographs and a spreadsheet with their captions.",
)


@app.callback()
def group() -> None:
    """Make a corpus of photographs and a spreadsheet with their captions."""


def new(
    photos: Annotated[
        Path, typer.Argument(help="Folder of the images; folders below it are searched too.", show_default=False)
    ],
    table: Annotated[
        Path | None,
        typer.Argument(
            help="Captions: .xlsx, .csv, .tsv, .jsonl, COCO's .json or a Flickr30k token file. Without it PHOTOS has "
            "metadata.csv, metadata.jsonl, or name.txt beside name.jpg, or is a data set: OWNER/NAME on the hub.",
            show_default=False,
        ),
    ] = None,
    lang: Annotated[
        list[str] | None,
        typer.Option(
            "--lang",
            help="LANGUAGE=COLUMN, such as ha=caption; repeat for several. LANGUAGE alone where one column has text. "
            "Default: the columns that are named as a language.",
            show_default=False,
        ),
    ] = None,
    image_column: Annotated[
        str | None, typer.Option(help="Column that names the images. Default: found out.", show_default=False)
    ] = None,
    split_column: Annotated[
        str | None,
        typer.Option(help="Column that says train, validation or test. Default: one called split, else by hash."),
    ] = None,
    split: Annotated[str, typer.Option(help="Split of a data set that is read.")] = "train",
    sheet: Annotated[str | None, typer.Option(help="Sheet of a workbook. Default: the first with cells.")] = None,
    encoding: Annotated[
        str | None, typer.Option(help="Encoding of a text file, such as cp1252. Default: found out.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for corpus.toml and captions.jsonl.")] = Path("ours"),
) -> None:
    """Make a corpus of photographs and a table of captions, and say what was understood and what looks wrong."""
    from polyclip.data.tables.create import TableOptions, draft_corpus, write_draft
    from polyclip.data.tables.describe import describe_draft
    from polyclip.data.tables.hub import is_dataset

    options = TableOptions(
        image_column=image_column,
        captions=parse_columns(lang or []),
        split_column=split_column,
        sheet=sheet,
        encoding=encoding,
    )
    if table is None and is_dataset(photos):
        print_dataset(photos, options, split, out)
        return
    draft = draft_corpus(photos, table, options)
    pack = write_draft(draft, out)
    console = PlainConsole(soft_wrap=True, highlight=False)
    for line in describe_draft(draft):
        console.print(line)
    console.print(f"Written: {pack} and captions.jsonl. The images stay where they are.")
    console.print(f"Next: {suggest_align(draft.captions, shlex.quote(str(out)))}")


def print_dataset(place: Path, options: "TableOptions", split: str, out: Path) -> None:
    """Write a pack for a data set, and say what its first rows were understood as."""
    from polyclip.data.tables.build import describe_columns
    from polyclip.data.tables.describe import format_columns
    from polyclip.data.tables.hub import write_dataset

    corpus, table, columns = write_dataset(place, options, split, out)
    console = PlainConsole(soft_wrap=True, highlight=False)
    console.print(f"{place}: {table.about}")
    for line in format_columns(describe_columns(table, columns)):
        console.print(line)
    spoken = " ".join(f"--lang {code}" for code in columns.captions)
    where = shlex.quote(str(out))
    console.print(f"Written: {corpus.path}. Its rows are read when they are first used.")
    console.print(f"Next: polyclip doctor {spoken} --corpus {where}  (checks captions and images)")
    console.print(f"      {suggest_align(columns.captions, where)}")


def suggest_align(codes: Iterable[str], corpus: str) -> str:
    """The command that trains on a corpus: it adds English by itself, unless the corpus has none."""
    known = list(codes)
    asked = " ".join(f"--lang {code}" for code in known if code != "en") or "--lang en"
    if "en" in known:
        return f"polyclip align {asked} --corpus {corpus}"
    return f"polyclip align {asked} --no-english --corpus {corpus}"


def parse_columns(given: list[str]) -> dict[str, list[str]] | None:
    """Parse `--lang ha=caption`: columns by language, an empty name where none is given."""
    found: dict[str, list[str]] = {}
    for text in given:
        language, equals, column = text.partition("=")
        if not language.strip() or (equals and not column.strip()):
            raise DataError(f"--lang {text}: expected LANGUAGE=COLUMN, such as ha=caption, or LANGUAGE alone.")
        found.setdefault(language.strip(), []).append(column.strip())
    return found or None
