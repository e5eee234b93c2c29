"""polyclip dedupe."""

import json as json_text
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from polyclip.errors import DataError

if TYPE_CHECKING:
    from polyclip.search.duplicates import Group

THRESHOLD = 0.95


def command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of pictures, looked through below too.")],
    model: Annotated[
        Path | None,
        typer.Option(help="Also group what looks alike to this run; its index in DIR is used where there is one."),
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(help="With --model: least cosine of a pair, 0.95 unless given.", min=-1.0, max=1.0)
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Group pictures that are the same file, the same picture in another size or quality, or alike to a model. Nothing is deleted."""
    if threshold is not None and model is None:
        raise DataError("--threshold is for cosines, which need a model: add --model RUN, or leave it out.")
    from polyclip.search.duplicates import duplicates, read_pictures
    from polyclip.search.gallery import gathered

    root = folder.resolve()
    pictures, problems = read_pictures(root)
    vectors = {}
    if model is not None:
        gallery = gathered(root, model)
        vectors = {str(path): vector for path, vector in zip(gallery.paths, gallery.vectors, strict=True)}
    least = THRESHOLD if threshold is None else threshold
    groups, unread = duplicates(pictures, vectors, least, f"pictures of {folder}")
    problems += unread
    if json:
        found = [
            {
                "kind": group.kind,
                "similarity": group.similarity,
                "pictures": [path.relative_to(root).as_posix() for path in group.paths],
            }
            for group in groups
        ]
        facts = {
            "schema": 1,
            "root": str(root),
            "threshold": least if model else None,
            "pictures": len(pictures),
            "groups": found,
            "skipped": problems,
        }
        typer.echo(json_text.dumps(facts, ensure_ascii=False, indent=1))
    else:
        show(root, groups, problems, len(pictures))


def show(root: Path, groups: "list[Group]", problems: list[str], pictures: int) -> None:
    """Each group with its reason, the largest file first."""
    console = Console()
    for group in groups:
        cosine = "" if group.similarity is None else f", cosine {group.similarity:.3f} or more"
        console.print(f"{group.kind}{cosine}", style="bold", markup=False, highlight=False)
        for path in group.paths:
            console.print(
                f"  {path.relative_to(root)}  {path.stat().st_size:,} bytes",
                markup=False,
                highlight=False,
                soft_wrap=True,
            )
    for problem in problems:
        console.print(f"skipped {problem}", style="yellow", markup=False, highlight=False, soft_wrap=True)
    extra = sum(len(group.paths) - 1 for group in groups)
    console.print(
        f"{pictures:,} pictures, {len(groups):,} groups, {extra:,} more than one of each; {len(problems)} skipped; nothing was deleted",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
