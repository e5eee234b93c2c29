"""Several fields of a record at once, by their names, and records as tables."""

from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Any

from polyclip.errors import PolyclipError


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


def make_dataframe(records: Sequence[object], which: type) -> Any:
    """Make a pandas data frame with one row a record.

    Args:
        records: Records of one kind.
        which: Their dataclass.

    Raises:
        PolyclipError: pandas is not installed.

    """
    try:
        import pandas as pd
    except ImportError as error:
        raise PolyclipError("to_dataframe() requires pandas: pip install 'polyclip[dataframe]'.") from error
    names = [field.name for field in fields(which)]
    return pd.DataFrame([read_fields(record, names) for record in records], columns=names)
