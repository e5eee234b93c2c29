"""`polyclip`: collects the commands, and turns every error of ours into one sentence and exit code 2."""

import sys

import typer

from polyclip.cli import align, cache, corpora, eval, languages, methods, search
from polyclip.errors import PolyclipError
from polyclip.progress import console

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help="A language gets a CLIP of its own.")
app.command("align")(align.command)
app.command("eval")(eval.command)
app.command("search")(search.command)
app.command("languages")(languages.command)
app.command("corpora")(corpora.command)
app.command("methods")(methods.command)
app.command("cache")(cache.command)


def main() -> None:
    """Entry point."""
    try:
        app()
    except PolyclipError as error:
        console.print(f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(2)
    except KeyboardInterrupt:
        console.print("Interrupted. What was encoded and trained so far is kept: 'polyclip align ... --resume' continues.", markup=False, soft_wrap=True)
        sys.exit(130)
