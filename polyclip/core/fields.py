"""Several fields of a record at once, by their names."""

from collections.abc import Iterable
from dataclasses import fields
from typing import Any


def read_fields(record: object, which: type | Iterable[str]) -> dict[str, Any]:
    """Fields of a dataclass or of another record with attributes; values are not copied.

    Args:
        record: The record.
        which: The names, or the dataclass whose fields are read (`record`'s own class, or one that it extends).

    Returns:
        Value by name, in the order of `which`.

    Example:
        >>> from types import SimpleNamespace
        >>> read_fields(SimpleNamespace(low=1, high=2, name="x"), ("low", "high"))
        {'low': 1, 'high': 2}

    """
    names = [field.name for field in fields(which)] if isinstance(which, type) else which
    return {name: getattr(record, name) for name in names}
