"""Under pytest every call is checked against its annotations: by beartype, and by jaxtyping where they have shapes.

The import hook of `--jaxtyping-packages` puts `jaxtyping.jaxtyped` on every function of polyclip. It binds the
arguments and checks them twice, to compare the dimensions of arrays with each other: half of the suite's time, and
needless for the many functions without an array.
"""

from collections.abc import Callable
from dataclasses import is_dataclass
from functools import partial, wraps
from inspect import isclass
from typing import Any, get_args

import jaxtyping

check_shapes = jaxtyping.jaxtyped


def check_calls(function: Any, typechecker: Callable[[Any], Any]) -> Any:
    """What stands for `jaxtyping.jaxtyped`.

    Args:
        function: A function, or a class: of a data class its constructor is checked.
        typechecker: beartype.

    Returns:
        The function with its checks, which `jaxtyping.config.jaxtyping_disable` switches off; the class itself.

    """
    if isclass(function):
        if is_dataclass(function) and not hasattr(function.__init__, "__wrapped__"):
            function.__init__ = check_calls(function.__init__, typechecker=typechecker)  # type: ignore[method-assign]
        return function
    if has_quotes(function):  # jaxtyping looks the names up as they are now
        return check_shapes(function, typechecker=typechecker)
    check = partial(check_shapes, typechecker=typechecker) if has_shapes(function) else typechecker
    checked: Any = None

    @wraps(function)
    def call(*arguments: Any, **named: Any) -> Any:
        nonlocal checked
        if jaxtyping.config.jaxtyping_disable:
            return function(*arguments, **named)
        if checked is None:  # most functions are never called by the tests of one process
            checked = check(function)
        return checked(*arguments, **named)

    return call


def has_quotes(function: Callable[..., Any]) -> bool:
    """Whether an annotation is a name in quotes, or holds one."""
    return any("'" in repr(hint) for hint in function.__annotations__.values() if not is_plain_class(hint))


def has_shapes(function: Callable[..., Any]) -> bool:
    """Whether an annotation is one of jaxtyping, or holds one."""
    return any("jaxtyping" in repr(hint) for hint in function.__annotations__.values())


def is_plain_class(hint: Any) -> bool:
    """Whether an annotation is a class and nothing more: its repr has quotes."""
    return isclass(hint) and not get_args(hint)


def install() -> None:
    """Let the import hook, which writes `jaxtyping.jaxtyped(typechecker=...)`, use `check_calls`."""
    jaxtyping.jaxtyped = partial(partial, check_calls)
