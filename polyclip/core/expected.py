"""What a value should have been, in plain words."""

import re
from collections.abc import Mapping
from operator import index
from typing import Any

from polyclip.errors import PolyclipError

WORDS = {  # of pydantic, and ours
    "less than or equal to ": "at most ",
    "greater than or equal to ": "at least ",
    "greater than ": "more than ",
    "a valid integer": "a whole number",
    "a valid number": "a number",
    "a valid string": "a text",
    "a valid boolean": "true or false",
    "a valid ": "a ",
    "Field required": "a value",
    "Extra inputs are not permitted": "no such key",
    "Value error, ": "",
    "Input is not a path for <class 'pathlib.Path'>": "a path",
    "Input should be ": "",
}
BECAUSE = re.compile(r", (?:unable to |got ).*$")  # how a conversion failed


def describe_expected(error: Mapping[str, Any]) -> str:
    """Say what a value should have been.

    Args:
        error: One of `ValidationError.errors()`.

    Returns:
        A phrase that follows the word "expected", such as "a whole number" or "at most 5".

    """
    said = BECAUSE.sub("", str(error["msg"]))
    for theirs, ours in WORDS.items():
        said = said.replace(theirs, ours)
    return f"{said[:1].lower()}{said[1:]}"


def check_count(name: str, value: Any, error: type[PolyclipError] = PolyclipError) -> int:
    """Check that an argument is a whole number, at least 1.

    Args:
        name: Of the argument.
        value: What was given; numbers of numpy are numbers.
        error: What is raised.

    Returns:
        The number.

    Raises:
        PolyclipError: It is not.

    """
    try:
        count = index(value)
    except TypeError:
        count = 0
    if count < 1 or isinstance(value, bool):
        raise error(f"{name}={value!r}, expected a whole number, at least 1.")
    return count
