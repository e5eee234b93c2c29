"""Runs of the command line: in this process, or in its own process where it is to be killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO

from polyclip.cli.main import main


@dataclass(frozen=True)
class CommandResult:
    """What a command printed and how it ended."""

    code: int
    out: str
    err: str


def polyclip(*arguments: object) -> CommandResult:
    """Run `polyclip ARGUMENTS` in this process."""
    before, sys.argv = sys.argv, ["polyclip", *map(str, arguments)]
    code = 0
    with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err:
        try:
            main()
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        finally:
            sys.argv = before
    return CommandResult(code, out.getvalue(), err.getvalue())


def start_process(*arguments: object, **environment: str) -> "subprocess.Popen[str]":
    """Start `polyclip ARGUMENTS` in a process of its own."""
    command = [sys.executable, "-m", "polyclip", *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, env=os.environ | environment, **pipes, text=True, preexec_fn=heed_interrupts)


def heed_interrupts() -> None:
    """Restore the SIGINT handler, which background jobs inherit as ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def kill_when(ready: Callable[[], bool], arguments: list[object], how: signal.Signals) -> tuple[int, str]:
    """Start a command, send `how` as soon as `ready`, and return its exit code and standard error."""
    running = start_process(*arguments)
    deadline = time.monotonic() + 120
    while not ready():
        assert running.poll() is None, running.communicate()[1]
        assert time.monotonic() < deadline, "the command never got so far"
        time.sleep(0.005)
    running.send_signal(how)
    return running.wait(60), running.communicate()[1]
