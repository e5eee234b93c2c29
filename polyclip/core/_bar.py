"""The bar of a terminal: what is counted, how fast, and how long it still takes."""

from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.text import Text

__all__ = ["Bar", "make_columns"]


class RateColumn(ProgressColumn):
    """Column of a progress bar with the throughput in rows/s."""

    def render(self, task: Task) -> Text:
        """Format the rate; empty while it is unknown."""
        return Text(f"{task.speed:,.0f}/s" if task.speed else "")


def make_columns() -> tuple[ProgressColumn, ...]:
    """Make the columns of a bar, from left to right; its tasks have a field `note`."""
    return (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        RateColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
