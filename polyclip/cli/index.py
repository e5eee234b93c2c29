"""Command `polyclip index`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from polyclip.core.terminal import PlainConsole
from polyclip.core.text import show_line
from polyclip.errors import DataError
from polyclip.languages.resolve import resolve_language

if TYPE_CHECKING:
    from polyclip.search.index import Changes, Index

INTERRUPTED = "Interrupted. What was encoded so far is kept: run the same 'polyclip index ...' to resume."


def command(
    images: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of images, searched recursively.")],
    model: Annotated[Path, typer.Option(help="Run folder made by 'polyclip align'.")],
    out: Annotated[Path | None, typer.Option(help="Folder of the index. Default: .polyclip-index in DIR.")] = None,
    from_clip_retrieval: Annotated[
        Path | None, typer.Option(help="Import embeddings from this folder (img_emb, metadata) instead of encoding.")
    ] = None,
    to_clip_retrieval: Annotated[
        Path | None, typer.Option(help="Also write the index to this folder, in clip-retrieval's layout.")
    ] = None,
    captions: Annotated[
        str | None,
        typer.Option(
            help="Captions of the images, which texts are compared with too: a table, a corpus, 'beside' (name.txt or "
            "name.CODE.txt beside name.jpg, metadata.csv, metadata.jsonl) or 'none'. Default: as the index was made, "
            "else 'beside'."
        ),
    ] = None,
    lang: Annotated[
        str,
        typer.Option(
            help="Language of captions that do not name theirs, for normalization. Default: the first trained language "
            "in their script."
        ),
    ] = "",
    follow_links: Annotated[
        bool, typer.Option("--follow-links", help="Also read images that are links to outside DIR, as DVC has them.")
    ] = False,
) -> None:
    """Encode a folder of images into a search index; repeated, it encodes new and changed images only."""
    language = resolve_language(lang).code if lang else ""
    if from_clip_retrieval is not None and captions is not None:
        raise DataError("--captions cannot be combined with --from-clip-retrieval; index again with it afterwards.")
    from polyclip.search.clip_retrieval import export_index, import_embeddings
    from polyclip.search.index import choose_out_folder, update_index
    from polyclip.search.quick.prepare import prepare

    place, console = choose_out_folder(images, out), PlainConsole()
    try:
        if from_clip_retrieval is not None:
            index, how = import_embeddings(from_clip_retrieval, images, model, place)
            console.print(
                f"{len(index):,} embeddings imported from {from_clip_retrieval}: {how}",
                highlight=False,
                soft_wrap=True,
            )
        else:
            changes = update_index(
                images,
                model,
                place,
                follow_links=follow_links,
                captions=captions,
                captions_language=language or None,
            )
            index = changes.index
            print_changes(console, changes)
        if index.manifest.graph:
            recall = ", ".join(f"{value:.3f} for {kind}" for kind, value in index.manifest.graph.recall_at_10.items())
            console.print(
                f"approximate search; recall@10 against an exact one: {recall}",
                highlight=False,
                soft_wrap=True,
            )
        prepare(index.model)
        console.print(f"index: {place}", highlight=False, soft_wrap=True)
        if to_clip_retrieval is not None:
            console.print(
                f"{to_clip_retrieval}: {export_index(index, to_clip_retrieval, language)}",
                highlight=False,
                soft_wrap=True,
            )
    except KeyboardInterrupt:
        PlainConsole(stderr=True).print(INTERRUPTED, soft_wrap=True)
        raise SystemExit(130) from None


def print_changes(console: PlainConsole, changes: "Changes") -> None:
    """Say what was skipped, how many images were encoded, and how many captions there are."""
    for problem in changes.problems:
        console.print(f"skipped {show_line(problem)}", style="yellow", highlight=False, soft_wrap=True)
    facts = (
        f"{changes.encoded:,} encoded, {changes.added:,} new or changed, {changes.removed:,} deleted, "
        f"{len(changes.problems):,} skipped"
    )
    console.print(f"{len(changes.index):,} images: {facts}", highlight=False, soft_wrap=True)
    said = describe_captions(changes.index)
    if said:
        console.print(said, highlight=False, soft_wrap=True)


def describe_captions(index: "Index") -> str:
    """Say how many captions of how many images there are, and from where; empty for none."""
    if index.captions is None:
        return ""
    where, rows = index.manifest.captions_from, index.captions.rows
    place = "files beside the images" if where == "beside" else show_line(where)
    return (
        f"{len(rows):,} captions of {len(set(rows.tolist())):,} images, from {place}; --captions none leaves them out"
    )
