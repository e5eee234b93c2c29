"""What is printed: text as it is, on terminals of any width, to readers that may have gone."""

import errno
import io
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from polyclip.core.text import escape_controls

NARROWEST, WIDEST = 64, 1000  # columns; a narrower terminal folds the lines itself, so that no figure is cut
USUAL, USUAL_LINES = 80, 25  # columns and lines where nobody knows
USAGE = 2  # exit code of an error
GONE = (errno.EPIPE, errno.EINVAL)  # the reader of a pipe has gone; EINVAL says so on Windows


class PlainConsole(Console):
    """A console that prints names and captions as they are: no markup, no `:cat:`, control characters escaped.

    Args:
        stderr: Print to standard error rather than to standard output.
        **options: Others of rich's `Console`.

    """

    def __init__(self, *, stderr: bool = False, **options: Any) -> None:
        height = None if has_usable_height() else USUAL_LINES
        super().__init__(stderr=stderr, markup=False, emoji=False, width=read_width(), height=height, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        r"""Turn text into what is printed, with control characters as `\x1b`."""
        return super().render_str(escape_controls(text), **options | {"markup": False, "emoji": False})


def make_text(text: str, style: str = "", **options: Any) -> Text:
    """Text with a style, with control characters escaped.

    Args:
        text: Anything, also names and captions.
        style: Of rich, such as `bold`.
        **options: Others of rich's `Text`.

    Returns:
        The text, for a console or a cell of a table.

    """
    return Text(escape_controls(text), style=style, **options)


def read_width() -> int | None:
    """The width to print at where the terminal's own is no use: 0, too narrow, endless, or no number.

    Returns:
        Columns; None where the terminal's own will do.

    """
    given = os.environ.get("COLUMNS", "")
    columns = shutil.get_terminal_size((USUAL, USUAL_LINES)).columns  # COLUMNS where it is a number above 0
    usable = not given or (given.isascii() and given.isdigit() and int(given) == columns)
    return None if usable and NARROWEST <= columns <= WIDEST else min(max(columns, NARROWEST), WIDEST)


def has_usable_height() -> bool:
    """Whether LINES can be read: rich takes a character for a digit that is one in any script, such as ²."""
    return os.environ.get("LINES", "").isascii()


@contextmanager
def repair_size() -> Iterator[None]:
    """Let rich, which writes the help pages, print at `read_width` within the block; COLUMNS and LINES are restored."""
    before = {name: os.environ.get(name) for name in ("COLUMNS", "LINES")}
    width = read_width()
    if width is not None:
        os.environ["COLUMNS"] = str(width)
    if not has_usable_height():
        del os.environ["LINES"]
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            os.environ.update({} if value is None else {name: value})


class LastingStream(io.TextIOWrapper):
    """Standard output or error that takes what is written even after its reader has gone or its disk is full.

    The command goes on, so that its files are written; `failure` says why nothing more arrived.
    """

    failure: OSError | None = None

    def write(self, text: str) -> int:
        """Write text, or drop it where nothing arrives any more."""
        try:
            return super().write(text)
        except OSError as error:
            self.give_up(error)
            return len(text)

    def flush(self) -> None:
        """Hand on what waits in the buffer, or drop it."""
        try:
            super().flush()
        except OSError as error:
            self.give_up(error)

    def give_up(self, error: OSError) -> None:
        """Let everything from now on, and what waits in buffers, go nowhere."""
        self.failure = self.failure or error
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())
        os.close(nowhere)


@contextmanager
def keep_streams() -> Iterator[None]:
    """Make standard output and error last within the block, and let them write every letter in any encoding.

    Raises:
        SystemExit: At the end, with code 2 and one sentence, where standard output could not be written. A reader that
            has gone, as `head` does, is no error.

    """
    while (spare := os.open(os.devnull, os.O_RDWR)) <= 2:  # closed ones: else the next file opened would become it
        pass
    os.close(spare)
    before = {"stdout": sys.stdout, "stderr": sys.stderr}
    sys.stdout, sys.stderr = (make_lasting(stream) for stream in before.values())
    try:
        yield
    finally:
        lasting, sys.stdout = sys.stdout, before["stdout"]
        lasting.flush()
        report_failure(lasting)
        sys.stderr.flush()
        sys.stderr = before["stderr"]


def make_lasting(stream: Any) -> Any:
    """A stream that lasts, in place of one of a process; others, as a notebook's, stay what they are."""
    if stream is None:
        return Path(os.devnull).open("w", encoding="utf-8")  # closed by who started the process
    if type(stream) is not io.TextIOWrapper:
        return stream
    raw = open(stream.fileno(), "wb", buffering=0 if stream.write_through else -1, closefd=False)  # noqa: PTH123, SIM115 (a descriptor, kept)
    how = {"line_buffering": stream.line_buffering, "write_through": stream.write_through}
    return LastingStream(raw, encoding=stream.encoding, errors="backslashreplace", **how)  # type: ignore[arg-type]


def report_failure(stream: object) -> None:
    """Say in one sentence that standard output could not be written, and exit with code 2.

    A reader that has gone, as `head` does, is no error.
    """
    if not isinstance(stream, LastingStream) or stream.failure is None or stream.failure.errno in GONE:
        return
    why = stream.failure.strerror or stream.failure
    sys.stderr.write(f"error: Standard output cannot be written: {why}. Files that the command made are complete.\n")
    sys.exit(USAGE)
