"""Options of a command as one dataclass whose fields are typer options, and a command made from it."""

import inspect
from collections.abc import Callable
from typing import Any, TypeVar, get_type_hints

import typer

T = TypeVar("T")
TYPED = "typed"  # the field that names the options given on the command line


def make_command(kind: type[T], run: Callable[[T], None]) -> Callable[..., None]:
    """Make a command that passes its options to `run` as one `kind`; its help is `run`'s docstring.

    The field `typed` of `kind` is not an option: it receives the names of the options given on the command line.

    Args:
        kind: Dataclass of the options.
        run: Function that runs the command.

    Returns:
        A function with one parameter per option, for typer.

    """

    def command(context: Any, **given: Any) -> None:
        typed = frozenset(
            name
            for name in given
            if (source := context.get_parameter_source(name)) is not None and source.name == "COMMANDLINE"
        )
        run(kind(**given, **{TYPED: typed}))

    options = {name: parameter for name, parameter in inspect.signature(kind).parameters.items() if name != TYPED}
    context = inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
    command.__doc__ = run.__doc__
    command.__signature__ = inspect.Signature([context, *options.values()])  # type: ignore[attr-defined]
    command.__annotations__ = {
        name: hint for name, hint in get_type_hints(kind, include_extras=True).items() if name in options
    }
    command.__annotations__["context"] = typer.Context
    return command
