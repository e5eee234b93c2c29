"""A study's table: by rich for the terminal, or as Markdown."""

import re
from dataclasses import dataclass

from rich.box import SIMPLE_HEAD
from rich.table import Table


@dataclass(frozen=True)
class Sheet:
    """A table of texts; the first column is left-aligned."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]
    caption: str

    def to_rich(self) -> Table:
        """Return the table for the terminal: where it is narrow, cells are broken and nothing is cut."""
        drawn = Table(
            title=self.title, caption=self.caption, header_style="bold", box=SIMPLE_HEAD, padding=(0, 1, 0, 0)
        )
        for number, column in enumerate(self.columns):
            intervals = [found for row in self.rows for found in re.findall(r"\[[^\]]*\]", row[number])]
            drawn.add_column(
                column,
                justify="right" if number else "left",
                min_width=max(map(len, intervals), default=None),
                overflow="fold",
            )
        for row in self.rows:
            drawn.add_row(*row)
        return drawn

    def to_markdown(self) -> str:
        """Return the table as Markdown."""
        lines = ["| " + " | ".join(self.columns) + " |", "|" + "---|" * len(self.columns)]
        lines += ["| " + " | ".join(row) + " |" for row in self.rows]
        return "\n".join([*lines, "", self.caption])
