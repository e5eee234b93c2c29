"""`polyclip`: collects the commands, and turns every error of ours into one sentence and exit code 2."""

import sys
from collections.abc import Callable
from functools import wraps

import typer

from polyclip.cli import align, cache, compare, corpora, doctor, eval, fewshot, languages, leakage, methods, push, report, search, study, translate
from polyclip.errors import PolyclipError
from polyclip.progress import console

INTERRUPTED = "Interrupted. What was encoded and trained so far is kept: the same 'polyclip align ...' with --resume goes on."


def guarded(command: Callable[..., None]) -> Callable[..., None]:
    """The same command; an error of ours or Ctrl-C ends it with one sentence instead of a traceback."""

    @wraps(command)
    def run(**given: object) -> None:
        try:
            command(**given)
        except PolyclipError as error:
            console.print(f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
            sys.exit(2)
        except KeyboardInterrupt:
            console.print(INTERRUPTED, markup=False, soft_wrap=True)
            sys.exit(130)

    return run


app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help="A language gets a CLIP of its own.")
for module in (align, eval, compare, leakage, search, doctor, fewshot, translate, study, report, push, cache):
    app.command(module.__name__.rpartition(".")[2])(guarded(module.command))
methods.app.command("count")(guarded(methods.count))
app.add_typer(methods.app, name="methods")
for languages_command in (languages.show, languages.new, languages.check):
    languages.app.command()(guarded(languages_command))
app.add_typer(languages.app, name="languages")
corpora.app.command()(guarded(corpora.show))
app.add_typer(corpora.app, name="corpora")


def main() -> None:
    """Entry point."""
    guarded(lambda: app())()  # once more around it all: what lists the packs or the methods is no command of its own
