"""Entry point of `polyclip`: lists the commands, imports the requested one, and reports errors in one sentence with
exit code 2.
"""

import gc
import inspect
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache, wraps
from importlib import import_module
from typing import Annotated, Any, get_type_hints

import typer
from typer.core import TyperGroup

from polyclip.cli._surroundings import check_text, explain_memory
from polyclip.core.progress import show_messages
from polyclip.core.terminal import keep_streams, repair_size
from polyclip.errors import PolyclipError

# allocations between two garbage collections: importing torch makes a million objects, and Python's 700 cost a second
OBJECTS = 20_000
PANELS: dict[str, dict[str, str]] = {  # first paragraph of each help: 'polyclip --help' imports no command
    "Model": {
        "align": (
            "Align a language: train small modules between a frozen text encoder and a frozen vision encoder, then "
            "evaluate them."
        ),
        "export": "Export a run to another library, and verify that its embeddings agree with the run's.",
        "push": (
            "Publish a run on the Hugging Face hub: weights, settings, scores and model card. "
            'polyclip.load("owner/name") loads it.'
        ),
        "methods": (
            "List the alignment methods and what each exports to, show one, or count its trainable parameters."
        ),
    },
    "Data": {
        "corpus": "Make a corpus of photographs and a spreadsheet with their captions.",
        "corpora": "List the corpora and benchmarks, or show one.",
        "languages": "List the languages, show one, draft a new pack, or check packs.",
        "translate": "Translate a corpus' captions, filter them, and write a corpus for 'polyclip align --corpus'.",
        "doctor": "Diagnose how a text encoder reads a language before training. Exit code 1 for a defect.",
        "cache": "Show or clear converted weights and cached features; both are recomputed when needed.",
    },
    "Evaluation": {
        "eval": "Evaluate a model on a benchmark, with confidence intervals, trained and unseen languages apart.",
        "compare": (
            "Test per language whether B is better or worse than A: paired by query, corrected for the number of "
            "languages."
        ),
        "leakage": (
            "Find train/test overlap: a benchmark's images, file names and captions in the training data. Exit code "
            "1 for leakage."
        ),
        "report": (
            "Write a self-contained HTML report of a run: recall with intervals, curves, example queries with "
            "images, licences."
        ),
    },
    "Search": {
        "index": "Encode a folder of images into a search index; repeated, it encodes new and changed images only.",
        "search": "Rank images by a text or image query, and write a contact sheet.",
        "classify": "Label images zero-shot with the nearest of given labels, using the language pack's prompts.",
        "dedupe": (
            "Group identical files, the same image at another size or quality, and images similar to a model. "
            "Nothing is deleted."
        ),
        "serve": (
            "Serve a web page to search images in any language; reachable from this machine only, unless --host says "
            "otherwise."
        ),
    },
    "Studies": {
        "study": (
            "Test a claim of the LilT paper: one table, one plot, one JSON file; repeated, it resumes an interrupted "
            "study."
        ),
        "fewshot": (
            "Measure recall over the number of captioned images of a new language; repeated, it resumes an "
            "interrupted study."
        ),
    },
}
COMMANDS = {name: summary for commands in PANELS.values() for name, summary in commands.items()}
ENCODING = (
    "align",
    "classify",
    "compare",
    "dedupe",
    "doctor",
    "eval",
    "fewshot",
    "index",
    "leakage",
    "report",
    "search",
    "serve",
    "study",
    "translate",
)
RESUMED = ("eval", "fewshot", "index", "study", "translate")  # a repeated one goes on where it was
OLD_NAMES = {  # of options, until the next release
    "--tune": "--train-towers",
    "--views": "--num-augmentations",
    "--borrow": "--related-languages",
    "--no-borrow": "--no-related-languages",
    "--mix": "--caption-weights",
    "--dim": "--head-dim",
}
GROUPS = {
    "methods": ("count", "show"),
    "languages": ("show", "new", "check"),
    "corpora": ("show",),
    "corpus": ("new",),
}  # files that hold several commands


COMMON: dict[str, tuple[Any, object]] = {
    "device": (
        Annotated[
            str, typer.Option(help="cpu, cuda, cuda:N or mps; GPUs are experimental. Default: the best available.")
        ],
        "auto",
    ),
    "encode_precision": (
        Annotated[
            str,
            typer.Option(
                help="Number format of the frozen encoders: fp32, bf16, or int8 (CPUs alone). Default: bf16 on a CPU "
                "that multiplies it in hardware, else fp32."
            ),
        ],
        "auto",
    ),
    "quiet": (
        Annotated[bool, typer.Option("--quiet", "-q", help="Print results only, without progress and messages.")],
        False,
    ),
    "verbose": (
        Annotated[bool, typer.Option("--verbose", "-v", help="Print library logs and tracebacks of errors too.")],
        False,
    ),
}


def add_common_options(name: str, command: Callable[..., None]) -> Callable[..., None]:
    """Add --quiet and --verbose to a command; --device and --encode-precision where it encodes or trains."""

    def run(
        *, quiet: bool, verbose: bool, device: str = "auto", encode_precision: str = "auto", **given: object
    ) -> None:
        def inner() -> None:
            with show_messages(not quiet), run_on(device, encode_precision):
                command(**given)

        if verbose:
            import logging

            logging.basicConfig(level=logging.INFO)
            inner()
        else:
            guard_command(name, inner)()

    signature = inspect.signature(command)
    own = {key: hint for key, hint in get_type_hints(command, include_extras=True).items() if key != "return"}
    extra = COMMON if name in ENCODING else {key: COMMON[key] for key in ("quiet", "verbose")}
    parameters = [
        inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint)
        for key, (hint, default) in extra.items()
    ]
    run.__doc__ = command.__doc__
    run.__signature__ = signature.replace(parameters=[*signature.parameters.values(), *parameters])  # type: ignore[attr-defined]
    run.__annotations__ = own | {key: hint for key, (hint, _) in extra.items()}
    return run


@contextmanager
def run_on(device: str, precision: str) -> Iterator[None]:
    """Select the requested device and number format; the defaults need no selection and do not import torch."""
    with ExitStack() as selected:
        if device != "auto":
            from polyclip.core.device import use_device

            selected.enter_context(use_device(device))
        if precision != "auto":
            from polyclip.core.encode_precision import use_encode_precision

            selected.enter_context(use_encode_precision(precision))
        yield


def describe_kept(name: str) -> str:
    """Say what is left of a command that was interrupted, and what to run."""
    again = f"run the same 'polyclip {name} ...'"
    if name == "align":
        return f"What was encoded and trained so far is kept: {again} with --resume."
    if name == "serve":
        return f"The server has stopped: {again} to start it."
    if name in RESUMED:
        return f"What is finished so far is kept: {again} to resume."
    if name in ENCODING:
        return f"What was encoded so far is kept: {again} again."
    return f"Nothing was left half-written: {again} again."


def guard_command(name: str, command: Callable[..., None]) -> Callable[..., None]:
    """Wrap a command so that our errors and Ctrl-C end it with one sentence instead of a traceback."""

    @wraps(command)
    def run(**given: object) -> None:
        try:
            with explain_memory():
                command(**given)
        except PolyclipError as error:
            from polyclip.cli._launch import report_error

            report_error(error)
            sys.exit(2)
        except KeyboardInterrupt as error:
            from polyclip.cli._launch import report_interrupt

            report_interrupt(error, describe_kept(name))
            sys.exit(130)

    return run


def run_app() -> None:
    """Run the command line, once its arguments are text."""
    check_text()
    app()


@cache
def load_command(name: str) -> Any:
    """Load a command, or a group of commands, from its file."""
    from polyclip.cli._launch import share_command

    module = import_module(f"polyclip.cli.{name}")
    if name not in GROUPS:
        alone = typer.Typer(add_completion=False)
        alone.command(name)(add_common_options(name, share_command(name, module.command)))
        return typer.main.get_command(alone)
    for command in GROUPS[name]:
        module.app.command(command)(add_common_options(name, getattr(module, command)))
    return typer.main.get_command(module.app)


class LazyGroup(TyperGroup):
    """Commands by name and summary; each is imported when it is called."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Load and return the command that the first argument names."""
        if args[0] in COMMANDS:
            self.add_command(load_command(args[0]), args[0])
        return super().resolve_command(ctx, [args[0], *map(rename_option, args[1:])])

    def invoke(self, ctx: Any) -> Any:
        """Run the command; a value that its option does not take is explained in our words."""
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            from polyclip.cli._bad_value import explain_bad_value

            raise explain_bad_value(error) or error from error


def rename_option(word: str) -> str:
    """Return an option's new name for its old one, with a notice on standard error."""
    name, equals, value = word.partition("=")
    if name not in OLD_NAMES:
        return word
    print(f"{name} is now called {OLD_NAMES[name]}; the old name will be removed in the next release.", file=sys.stderr)  # noqa: T201
    return f"{OLD_NAMES[name]}{equals}{value}"


def print_version(wanted: bool) -> bool:
    """Print the version and exit, where it is wanted."""
    if wanted:
        from importlib.metadata import version

        typer.echo(f"polyclip {version('polyclip')}")
        raise typer.Exit
    return wanted  # typer passes this value on


def root(
    version: Annotated[
        bool, typer.Option("--version", callback=print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """A language gets a CLIP of its own."""


app = typer.Typer(
    cls=LazyGroup,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},  # of every command too
)
app.callback()(root)
for panel, commands in PANELS.items():
    for name, summary in commands.items():  # `LazyGroup` puts the command itself in its place
        app.command(name, help=summary, rich_help_panel=panel)(lambda: None)


def main() -> None:
    """Run the command line and exit with the command's code."""
    gc.set_threshold(OBJECTS)
    # Pillow's warning about large images duplicates our error, which names the image
    warnings.filterwarnings("ignore", message="Image size .* exceeds limit")
    try:
        with keep_streams(), repair_size():
            guard_command(
                " ".join(sys.argv[1:2]), run_app
            )()  # again, since the lists of packs and methods are callbacks, not commands
    finally:
        gc.freeze()  # so that no garbage collection runs at exit
