"""Tables for terminals of 80 columns."""

from rich.box import SIMPLE_HEAD
from rich.table import Table


def make_table(title: str, first: str, *columns: str, caption: str = "") -> Table:
    """Make a table with names on the left and figures on the right."""
    table = Table(title=title, caption=caption or None, box=SIMPLE_HEAD, collapse_padding=True, pad_edge=False)
    table.add_column(first)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def format_figure(value: float) -> str:
    """Format three significant digits, or all digits of larger numbers."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
