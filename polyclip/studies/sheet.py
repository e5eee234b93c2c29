"""A study's table: by rich for the terminal, or as Markdown."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Group
from rich.table import Table
from rich.text import Text

EDGES = 1  # columns of a terminal that a table's edges take
GAP = 2  # columns of a terminal after each column of a table
WHOLE = re.compile(r"(?:\S+ )?\[[^\]]*\]|\S+")  # what is not broken: a word, or a figure with its interval


@dataclass(frozen=True)
class Sheet:
    """A table of texts; the first column is left-aligned."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]
    caption: str

    def to_rich(self, width: int) -> Group:
        """Return the table for a terminal: columns that do not fit stand in further tables below, each of which begins
        with the first column. Nothing is cut.

        Args:
            width: Columns of the terminal.

        Returns:
            What rich prints.

        """
        groups = list(self.divide_columns(width))
        tables = [self.draw(group, width, "" if number else self.title) for number, group in enumerate(groups)]
        return Group(*tables, Text(self.caption, style="table.caption"))

    def divide_columns(self, width: int) -> Iterator[list[int]]:
        """Yield numbers of columns that fit side by side; the first one is always among them."""
        group = [0]
        for number in range(1, len(self.columns)):
            if len(group) > 1 and self.sum_widths([*group, number]) > width:
                yield group
                group = [0]
            group.append(number)
        yield group

    def sum_widths(self, group: list[int]) -> int:
        """Width of a table of these columns."""
        return EDGES + sum(GAP + self.measure(number) for number in group)

    def measure(self, number: int) -> int:
        """Width of a column's longest word, or figure with its interval."""
        return max((cell_len(word) for text in self.list_texts(number) for word in WHOLE.findall(text)), default=0)

    def list_texts(self, number: int) -> list[str]:
        """List what stands in a column, its name first."""
        return [self.columns[number], *(row[number] for row in self.rows)]

    def draw(self, group: list[int], width: int, title: str) -> Table:
        """Draw some of the columns; the first one takes what the others leave, as far as it needs it."""
        drawn = Table(title=title or None, header_style="bold", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
        left = width - self.sum_widths(group[1:]) - GAP
        for number in group:
            wanted = self.measure(number) if number else min(left, max(map(cell_len, self.list_texts(0))))
            drawn.add_column(
                self.columns[number], justify="right" if number else "left", width=max(1, wanted), overflow="fold"
            )
        for row in self.rows:
            drawn.add_row(*(row[number] for number in group))
        return drawn

    def to_markdown(self) -> str:
        """Return the table as Markdown."""
        lines = ["| " + " | ".join(self.columns) + " |", "|" + "---|" * len(self.columns)]
        lines += ["| " + " | ".join(row) + " |" for row in self.rows]
        return "\n".join([*lines, "", self.caption])
