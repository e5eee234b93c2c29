"""A value of the command line that is not what its option takes, in one sentence."""

from typing import Any

from polyclip.core.expected import describe_expected
from polyclip.core.text import show_line
from polyclip.errors import PolyclipError, shorten

SHOWN = 60  # characters of a value


def explain_bad_value(error: Any) -> PolyclipError | None:
    """Explain why typer refused a value.

    Args:
        error: A `typer.BadParameter`.

    Returns:
        The error in our words; None where typer's own say it, as of a missing argument.

    """
    from pydantic import ValidationError

    if not isinstance(error.__cause__, ValidationError) or error.param is None:
        return None
    fault, param = error.__cause__.errors()[0], error.param
    name = next((own for own in param.opts if own.startswith("--")), (param.metavar or param.name).upper())
    found = shorten(show_line(str(fault["input"])), SHOWN)
    return PolyclipError(f"{name} {found}: expected {describe_wanted(param, fault)}.")


def describe_wanted(param: Any, fault: Any) -> str:
    """What an option takes: a number with all its bounds, or as pydantic's error has it."""
    annotation = param.type_descriptor.annotation
    info = param.type_descriptor.parameter_info
    if fault["type"].startswith(("int", "float", "less", "greater", "finite")):
        kind = "a number" if "float" in str(annotation) else "a whole number"
        bounds = (info.min, info.max)
        if None not in bounds:
            return f"{kind} from {bounds[0]:g} to {bounds[1]:g}"
        least, most = ("" if bound is None else f"{bound:g}" for bound in bounds)
        return f"{kind} of at least {least}" if least else f"{kind} of at most {most}" if most else kind
    _, among, choices = fault["msg"].partition(" is not one of ")
    return f"one of {choices.rstrip('.').replace(chr(39), '')}" if among else describe_expected(fault)
