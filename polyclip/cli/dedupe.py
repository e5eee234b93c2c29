"""Command `polyclip dedupe`."""

import json as json_text
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from polyclip.core.terminal import PlainConsole
from polyclip.core.text import show_line
from polyclip.errors import DataError

if TYPE_CHECKING:
    from polyclip.search.duplicates import DuplicateGroup

THRESHOLD = 0.95


def command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of images, searched recursively.")],
    model: Annotated[
        Path | None,
        typer.Option(
            help="Also group images similar to this run's model; its index in DIR is used where there is one."
        ),
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(help="With --model: minimum cosine of a pair. Default: 0.95.", min=-1.0, max=1.0)
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    follow_links: Annotated[
        bool, typer.Option("--follow-links", help="Also read images that are links to outside DIR, as DVC has them.")
    ] = False,
) -> None:
    """Group identical files, the same image at another size or quality, and images similar to a model. Nothing
    is deleted.
    """
    if threshold is not None and model is None:
        raise DataError("--threshold requires --model RUN.")
    from polyclip.data.image_hash import FingerprintRecorder
    from polyclip.search.duplicates import find_duplicates, read_images
    from polyclip.search.gallery import load_gallery

    root = folder.resolve()
    images, problems = read_images(root, follow_links=follow_links)
    vectors = {}
    if model is not None:
        with FingerprintRecorder() as recorder:  # what is decoded to be encoded is hashed at once
            gallery = load_gallery(root, model, follow_links=follow_links, seen=recorder)
        vectors = {str(path): vector for path, vector in zip(gallery.paths, gallery.embeddings, strict=True)}
    least = THRESHOLD if threshold is None else threshold
    groups, unread = find_duplicates(images, vectors, least, f"images of {folder}")
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
            "pictures": len(images),
            "groups": found,
            "skipped": problems,
        }
        typer.echo(json_text.dumps(facts, ensure_ascii=False, indent=1))
    else:
        print_groups(root, groups, problems, len(images))


def print_groups(root: Path, groups: "list[DuplicateGroup]", problems: list[str], pictures: int) -> None:
    """Print each group with its criterion, largest file first."""
    console = PlainConsole()
    for group in groups:
        cosine = "" if group.similarity is None else f", cosine {group.similarity:.3f} or more"
        console.print(f"{group.kind}{cosine}", style="bold", highlight=False)
        for path in group.paths:
            console.print(
                f"  {show_line(str(path.relative_to(root)))}  {path.stat().st_size:,} bytes",
                highlight=False,
                soft_wrap=True,
            )
    for problem in problems:
        console.print(f"skipped {show_line(problem)}", style="yellow", highlight=False, soft_wrap=True)
    extra = sum(len(group.paths) - 1 for group in groups)
    console.print(
        f"{pictures:,} images, {len(groups):,} groups, {extra:,} redundant images; {len(problems)} skipped; nothing "
        "was deleted",
        highlight=False,
        soft_wrap=True,
    )
