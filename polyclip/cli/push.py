"""Command `polyclip push`."""

from pathlib import Path
from typing import Annotated

import typer

from polyclip.core.progress import console
from polyclip.core.terminal import PlainConsole


def command(
    run: Annotated[Path, typer.Argument(help="Run folder made by 'polyclip align'.")],
    name: Annotated[str, typer.Argument(help="Repository on the Hugging Face hub: owner/name. Created if missing.")],
    revision: Annotated[
        str | None, typer.Option(help="Branch to commit to, created if missing. Default: main.")
    ] = None,
    private: Annotated[bool, typer.Option("--private", help="Make a new repository private.")] = False,
) -> None:
    """Publish a run on the Hugging Face hub: weights, settings, scores and model card.
    polyclip.load("owner/name") loads it.
    """
    from polyclip.exporters.push import push

    done = push(run, name, revision=revision, private=private)
    if done.local:
        said = f"run.toml mentions local paths, which others do not have: {', '.join(done.local)}"
        console.print(said, style="yellow", highlight=False, soft_wrap=True)
    printed = PlainConsole()
    printed.print(f"sent: {', '.join(done.files)}", highlight=False, soft_wrap=True)
    printed.print(f"commit: {done.commit}\n{done.url}", highlight=False, soft_wrap=True)
    printed.print(f'load: polyclip.load("{name}", revision="{done.commit}")', highlight=False, soft_wrap=True)
