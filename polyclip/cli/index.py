"""polyclip index."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from polyclip.errors import DataError
from polyclip.languages.resolve import resolve_language

INTERRUPTED = "Interrupted. What was encoded so far is kept: the same 'polyclip index ...' goes on."


def command(
    images: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of pictures, looked through below too.")],
    model: Annotated[Path, typer.Option(help="Run folder made by 'polyclip align'.")],
    out: Annotated[Path | None, typer.Option(help="Where the index is kept. Default: .polyclip-index in DIR.")] = None,
    from_clip_retrieval: Annotated[
        Path | None, typer.Option(help="Take vectors over from this folder (img_emb, metadata) instead of encoding.")
    ] = None,
    to_clip_retrieval: Annotated[
        Path | None, typer.Option(help="Write the index to this folder too, as clip-retrieval lays it out.")
    ] = None,
    lang: Annotated[
        str,
        typer.Option(
            help="With --to-clip-retrieval: language of the captions beside the pictures, for their spelling."
        ),
    ] = "",
) -> None:
    """Encode a folder of images into a search index; repeated, it encodes new and changed images only."""
    language = resolve_language(lang).code if lang else ""
    if lang and to_clip_retrieval is None:
        raise DataError(
            "--lang says how captions are spelt, which are only written with --to-clip-retrieval; leave it out."
        )
    from polyclip.search.build import update_index
    from polyclip.search.clip_retrieval import export_index, import_embeddings
    from polyclip.search.index import choose_out_folder

    place, console = choose_out_folder(images, out), Console()
    try:
        if from_clip_retrieval is not None:
            index, how = import_embeddings(from_clip_retrieval, images, model, place)
            console.print(
                f"{len(index):,} vectors taken over from {from_clip_retrieval}: {how}",
                markup=False,
                highlight=False,
                soft_wrap=True,
            )
        else:
            changes = update_index(images, model, place)
            index = changes.index
            for problem in changes.problems:
                console.print(f"skipped {problem}", style="yellow", markup=False, highlight=False, soft_wrap=True)
            facts = f"{changes.encoded:,} encoded, {changes.added:,} new or changed, {changes.removed:,} gone, {len(changes.problems):,} skipped"
            console.print(f"{len(index):,} pictures: {facts}", markup=False, highlight=False, soft_wrap=True)
        if index.manifest.graph:
            recall = ", ".join(f"{value:.3f} for {kind}" for kind, value in index.manifest.graph.recall_at_10.items())
            console.print(
                f"approximate search; recall@10 against an exact one: {recall}",
                markup=False,
                highlight=False,
                soft_wrap=True,
            )
        console.print(f"index: {place}", markup=False, highlight=False, soft_wrap=True)
        if to_clip_retrieval is not None:
            console.print(
                f"{to_clip_retrieval}: {export_index(index, to_clip_retrieval, language)}",
                markup=False,
                highlight=False,
                soft_wrap=True,
            )
    except KeyboardInterrupt:
        Console(stderr=True).print(INTERRUPTED, markup=False, soft_wrap=True)
        raise SystemExit(130) from None
