"""One way to show progress: rich's bar with rate and time left on a terminal, one line that is
written over in a notebook, a line now and then in a log.
A library call shows nothing. The command line, and whoever asks for it in Python, shows it with `show_messages`.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import TracebackType
from typing import TYPE_CHECKING, Any

from polyclip.core.distributed import is_first_process
from polyclip.core.durations import format_duration
from polyclip.core.terminal import PlainConsole

if TYPE_CHECKING:
    from polyclip.core._bar import Bar

_shown: ContextVar[bool] = ContextVar("polyclip messages", default=False)


@contextmanager
def show_messages(on: bool = True) -> Iterator[None]:
    """Show progress and messages on standard error within the block, or hide them."""
    token = _shown.set(on)
    try:
        yield
    finally:
        _shown.reset(token)


def is_shown() -> bool:
    """Whether messages are shown, by this process: of several the first one speaks."""
    return _shown.get() and is_first_process()


class Messages:
    """Standard error, for those who asked for messages."""

    def print(self, *objects: Any, **options: Any) -> None:
        """Print as rich does, where messages are shown."""
        if is_shown():
            terminal.print(*objects, **options)


terminal = PlainConsole(stderr=True)
console = Messages()
EVERY = 15.0  # seconds between lines where there is no terminal
REDRAWN = 0.5  # seconds between two states of a notebook's line


def make_bar() -> "Bar":
    """Make a bar with rate and time left on the terminal."""
    from polyclip.core._bar import Bar, make_columns  # imported here: `--help` has no bar

    return Bar(*make_columns(), console=terminal)


class Progress:
    """Context that counts rows. On Ctrl-C the bar is closed before the message."""

    def __init__(self, label: str, total: int) -> None:
        self.label, self.total, self.done, self.note, self.width = label, total, 0, "", 0
        self.started = self.spoken = time.monotonic()
        self.shown = is_shown()  # read here: a thread that reports progress has no such context
        self.bar = make_bar() if self.shown and sys.stderr.isatty() else None

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
            self.say(ended=True)
        elif self.width:  # an error's message stands on a line of its own
            sys.stderr.write("\n")

    def advance(self, rows: int) -> None:
        """Count `rows` more as done."""
        self.done += rows
        if self.bar:
            self.bar.update(self.task, advance=rows, note=self.note)
        elif time.monotonic() - self.spoken > (REDRAWN if terminal.is_jupyter else EVERY):
            self.say()

    def say(self, *, ended: bool = False) -> None:
        """Print one line with rate and time left; in a notebook over the one before, until all has `ended`."""
        if not self.shown:
            return
        self.spoken = time.monotonic()
        rate = self.done / max(self.spoken - self.started, 1e-9)
        left = f"{format_duration((self.total - self.done) / rate)} left" if rate else "not known how long"
        line = f"{self.label}: {self.done:,}/{self.total:,}, {rate:,.0f}/s, {left} {self.note}".rstrip()
        if terminal.is_jupyter:  # rich would show each line as an output of its own
            sys.stderr.write(f"\r{line:<{self.width}}" + "\n" * ended)
            sys.stderr.flush()
            self.width = len(line)
        else:
            terminal.print(line, highlight=False, soft_wrap=True)
