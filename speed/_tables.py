"""Tables that people can read at 80 columns."""

from rich.box import SIMPLE_HEAD
from rich.table import Table


def narrow(title: str, first: str, *columns: str, caption: str = "") -> Table:
    """Names on the left, figures on the right."""
    table = Table(title=title, caption=caption or None, box=SIMPLE_HEAD, collapse_padding=True, pad_edge=False)
    table.add_column(first)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def figure(value: float) -> str:
    """Three digits, or all of a larger number."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
