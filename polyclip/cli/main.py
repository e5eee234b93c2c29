"""`polyclip`: lists the commands, imports the one that is called, and turns every error of ours into one sentence and exit code 2."""

import gc
import sys
from collections.abc import Callable
from functools import cache, wraps
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

from polyclip.errors import PolyclipError

OBJECTS = 20_000  # new ones between two searches for cycles: importing torch makes a million that stay, and Python's 700 cost a second
KEPT = "What was encoded and trained so far is kept: the same 'polyclip align ...' with --resume goes on."
COMMANDS = {  # file and first paragraph of its help: 'polyclip --help' imports none of them
    "align": "Align a language: train small parts between a frozen text encoder and a frozen vision tower, then score them.",
    "eval": "Score a model on a benchmark, with intervals, trained and never-trained languages apart.",
    "compare": "Say per language whether B is better than A, worse, or whether one cannot tell: paired by query, corrected for the number of languages.",
    "leakage": "Find what of a benchmark is in the training data: pictures, file names, captions. Exit code 1 where there is a leak.",
    "report": "Make one self-contained HTML page of a run: recall with intervals, curves, words by pictures, best and worst queries, licences.",
    "index": "Encode a folder of pictures once, so that searching it is instant; again, and only what is new or changed is encoded.",
    "search": "Rank pictures by a query in words or by a picture, and write a contact sheet to look at.",
    "classify": "Give each picture the nearest of some labels, in the prompts of their language's pack.",
    "dedupe": "Group pictures that are the same file, the same picture in another size or quality, or alike to a model. Nothing is deleted.",
    "serve": "A web page to search pictures in any language, by words or by a picture; for this machine alone unless it is told otherwise.",
    "doctor": "Examine how a text encoder reads a language before anything is trained; a defect ends with exit code 1.",
    "fewshot": "What a few captions buy: recall over the number of named pictures of a language; interrupted, it goes on where it was.",
    "translate": "Translate a corpus' captions, filter them, and write a corpus that 'polyclip align --corpus' takes.",
    "study": "Test a claim of the LilT paper on the data at hand: one table, one plot, one JSON file; interrupted, it goes on where it was.",
    "export": "Write a run for another library, and check that it says there what it says here.",
    "push": 'Publish a run: its trained parts, settings, scores and model card, nothing else. polyclip.load("owner/name") loads it.',
    "cache": "Show or clear converted weights and computed features; both are made again when they are needed.",
    "methods": "List the alignment methods, or count what one trains.",
    "languages": "List the languages, show one, draft a new one, check packs.",
    "corpora": "List the corpora and benchmarks, show one.",
}
GROUPS = {
    "methods": ("count",),
    "languages": ("show", "new", "check"),
    "corpora": ("show",),
}  # files that hold several commands


def guarded(command: Callable[..., None]) -> Callable[..., None]:
    """The same command; an error of ours or Ctrl-C ends it with one sentence instead of a traceback."""

    @wraps(command)
    def run(**given: object) -> None:
        try:
            command(**given)
        except PolyclipError as error:
            from polyclip.cli._launch import complain

            complain(error)
            sys.exit(2)
        except KeyboardInterrupt as error:
            from polyclip.cli._launch import interrupted

            interrupted(error, KEPT)
            sys.exit(130)

    return run


@cache
def loaded(name: str) -> Any:
    """A command, or a group of them, from its file."""
    from polyclip.cli._launch import shared

    module = import_module(f"polyclip.cli.{name}")
    if name not in GROUPS:
        alone = typer.Typer(add_completion=False)
        alone.command(name)(guarded(shared(name, module.command)))
        return typer.main.get_command(alone)
    for command in GROUPS[name]:
        module.app.command(command)(guarded(getattr(module, command)))
    return typer.main.get_command(module.app)


class Lazy(TyperGroup):
    """The commands by name and summary; each is loaded when it is called."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that the first argument names."""
        if args[0] in COMMANDS:
            self.add_command(loaded(args[0]), args[0])
        return super().resolve_command(ctx, args)


def listed(name: str, summary: str) -> None:
    """A row of the list of commands; `Lazy` puts the command itself in its place."""
    app.command(name, help=summary)(lambda: None)


app = typer.Typer(
    cls=Lazy,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="A language gets a CLIP of its own.",
)
for name, summary in COMMANDS.items():
    listed(name, summary)


def main() -> None:
    """Entry point."""
    gc.set_threshold(OBJECTS)
    try:
        guarded(
            lambda: app()
        )()  # once more around it all: what lists the packs or the methods is no command of its own
    finally:
        gc.freeze()  # so that the exit does not look through all of them for cycles
