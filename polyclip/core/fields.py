"""Several fields of a record at once, by their names, and records as tables."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any, TypeVar, cast

from polyclip.errors import PolyclipError

T = TypeVar("T")


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


def make_record(kind: type[T], table: Mapping[str, Any]) -> T:
    """Make a record of a table, such as JSON that a later version wrote; keys that are no fields are left out.

    Args:
        kind: A dataclass.
        table: Value by name; every field without a default stands in it.

    Returns:
        The record.

    """
    names = {field.name for field in fields(cast(Any, kind))}
    return kind(**{name: value for name, value in table.items() if name in names})


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
