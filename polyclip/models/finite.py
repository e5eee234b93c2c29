"""Rows with values that are not finite, and what they are of."""

from collections.abc import Sequence
from typing import Any

from jaxtyping import Bool, Int
from torch import Tensor

from polyclip.core.text import show_line

NAMED = 3  # rows that a message names
LONGEST = 60  # characters of a caption in a message


def name_rows(rows: Int[Tensor, " row"], items: Sequence[Any]) -> str:
    """Name the first few rows: captions in quotes, images by file.

    Args:
        rows: Numbers of items.
        items: Captions or image sources.

    Returns:
        Up to three of them, and how many more there are.

    """
    found = [items[row] for row in rows[:NAMED].tolist()]
    said = [repr(show_line(one)[:LONGEST]) if isinstance(one, str) else show_line(str(one.name)) for one in found]
    return ", ".join(said) + (f" and {len(rows) - NAMED} more" if len(rows) > NAMED else "")


def describe_damaged(finite: Bool[Tensor, " item"], items: Sequence[Any], what: str) -> str:
    """Describe which items gave values that are not finite.

    Args:
        finite: Whether an item's values are.
        items: Captions or image sources.
        what: What they are, for the message.

    Returns:
        How many of how many, and the first of them; empty where all are finite.

    """
    bad = (~finite).nonzero()[:, 0]
    return f"{len(bad)} of {len(items)} {what} ({name_rows(bad, items)})" if len(bad) else ""
