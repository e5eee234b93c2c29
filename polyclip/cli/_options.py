"""The options of a command as one record: a dataclass whose fields are typer options, and a command made of it."""

import inspect
from collections.abc import Callable
from typing import Any, TypeVar, get_type_hints

import typer

T = TypeVar("T")
TYPED = "typed"  # the field that says which options stood on the command line


def make_command(kind: type[T], run: Callable[[T], None]) -> Callable[..., None]:
    """A command that gives `run` its options as one `kind`; its help is `run`'s docstring.

    The field `typed` of `kind` is no option: it receives the names of those that were written, whatever their value.
    """

    def command(context: Any, **given: Any) -> None:
        typed = frozenset(
            name for name in given if getattr(context.get_parameter_source(name), "name", "") == "COMMANDLINE"
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
