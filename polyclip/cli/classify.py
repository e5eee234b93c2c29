"""Command `polyclip classify`."""

import csv as csv_text
import io
import json as json_text
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from polyclip.core.terminal import PlainConsole
from polyclip.core.text import show_line
from polyclip.languages.resolve import resolve_language

if TYPE_CHECKING:
    from polyclip.search.classify import LabelledImage
    from polyclip.search.gallery import SearchGallery

COLUMNS = ("picture", "label", "similarity", "share", "second", "second_share")


def command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of images, searched recursively, or an index.")],
    labels: Annotated[Path, typer.Option(help="File with one label per line; synonyms after tabs.")],
    model: Annotated[
        Path | None,
        typer.Option(help="Run folder made by 'polyclip align'. Default: the one that made the index in DIR."),
    ] = None,
    lang: Annotated[
        str, typer.Option(help="Language of the labels. Default: the first trained language in this script.")
    ] = "",
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    csv: Annotated[Path | None, typer.Option(help="Also write the table to this CSV file.")] = None,
    follow_links: Annotated[
        bool, typer.Option("--follow-links", help="Also read images that are links to outside DIR, as DVC has them.")
    ] = False,
) -> None:
    """Label images zero-shot with the nearest of given labels, using the language pack's prompts."""
    from polyclip.search.classify import read_labels

    language = resolve_language(lang).code if lang else ""
    named = read_labels(labels)
    from polyclip.search.classify import choose_language, describe_shares, label_images
    from polyclip.search.gallery import load_gallery
    from polyclip.search.query import read_trained_languages

    gallery = load_gallery(folder, model, follow_links=follow_links)
    spelt = choose_language(named, language, read_trained_languages(gallery.run))
    found = label_images(gallery, named, spelt)
    if csv is not None:
        from polyclip.core.storage import write_text

        write_text(csv, format_csv(gallery, found), what="the labels")
    if json:
        images = [dict(zip(COLUMNS, row, strict=True)) for row in build_rows(gallery, found)]
        facts = {
            "schema": 1,
            "language": spelt,
            "labels": named,
            "share": describe_shares(gallery.aligner),
            "skipped": gallery.problems,
            "pictures": images,
        }
        typer.echo(json_text.dumps(facts, ensure_ascii=False, indent=1))
    else:
        print_labels(gallery, found, describe_shares(gallery.aligner))
        if csv is not None:
            typer.echo(f"table: {csv}")


def build_rows(
    gallery: "SearchGallery", found: "list[LabelledImage]"
) -> list[tuple[str, str, float, float, str, float]]:
    """Build a row for each image, with the values of `COLUMNS`."""
    root = gallery.root
    return [
        (one.path.relative_to(root).as_posix(), one.label, one.similarity, one.share, one.second, one.second_share)
        for one in found
    ]


def format_csv(gallery: "SearchGallery", found: "list[LabelledImage]") -> str:
    """Format the rows as CSV with a header."""
    text = io.StringIO()
    writer = csv_text.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(
        (*row[:2], f"{row[2]:.6f}", f"{row[3]:.6f}", row[4], f"{row[5]:.6f}") for row in build_rows(gallery, found)
    )
    return text.getvalue()


def print_labels(gallery: "SearchGallery", found: "list[LabelledImage]", meaning: str) -> None:
    """Print the table, skipped images, and the meaning of its numbers."""
    console = PlainConsole()
    table = Table(header_style="bold", box=SIMPLE_HEAD)
    for name in ("image", "label", "similarity", "share", "next label", "share"):
        table.add_column(name, overflow="fold")
    for image, label, similarity, share, second, second_share in build_rows(gallery, found):
        table.add_row(show_line(image), label, f"{similarity:.3f}", f"{share:.2f}", second, f"{second_share:.2f}")
    console.print(table)
    for problem in gallery.problems:
        console.print(f"skipped {show_line(problem)}", style="yellow", highlight=False, soft_wrap=True)
    where = ", as they were when indexed" if gallery.indexed else ""
    console.print(f"{len(found):,} images{where}, {len(gallery.problems)} skipped", highlight=False)
    console.print(meaning, highlight=False)
