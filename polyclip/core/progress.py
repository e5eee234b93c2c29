"""One way to show progress: rich's bar with rate and time left on a terminal, a line now and then in a log."""

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.text import Text

from polyclip.core.distributed import first

console = Console(stderr=True, quiet=not first())
EVERY = 15.0  # seconds between lines where there is no terminal


class Rate(ProgressColumn):
    """Rows a second."""

    def render(self, task: Task) -> Text:
        """Blank until there is a rate."""
        return Text(f"{task.speed:,.0f}/s" if task.speed else "")


class Progress:
    """Context that counts rows. On Ctrl-C the bar is closed before the message."""

    def __init__(self, label: str, total: int) -> None:
        self.label, self.total, self.done, self.note = label, total, 0, ""
        self.started = self.spoken = time.monotonic()
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            Rate(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )
        self.bar = Bar(*columns, console=console) if sys.stderr.isatty() and first() else None

    def __enter__(self) -> "Progress":
        if self.bar:
            self.bar.start()
            self.task = self.bar.add_task(self.label, total=self.total, note="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.bar:
            self.bar.stop()
        elif kind is None and self.spoken > self.started:
            self.say()

    def advance(self, rows: int) -> None:
        """`rows` more are done."""
        self.done += rows
        if self.bar:
            self.bar.update(self.task, advance=rows, note=self.note)
        elif time.monotonic() - self.spoken > EVERY:
            self.say()

    def say(self) -> None:
        """One line for a log."""
        self.spoken = time.monotonic()
        rate = self.done / max(self.spoken - self.started, 1e-9)
        left = (self.total - self.done) / max(rate, 1e-9)
        console.print(
            f"{self.label}: {self.done:,}/{self.total:,}, {rate:,.0f}/s, {left:,.0f} s left {self.note}".rstrip(),
            highlight=False,
            soft_wrap=True,
        )
