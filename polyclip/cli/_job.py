"""A command as one of several processes of a job: who speaks, and what is said when the job ends early."""

import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from functools import wraps
from pathlib import Path
from types import FrameType

from rich.console import Console

from polyclip import distributed
from polyclip.distributed import LostError
from polyclip.errors import PolyclipError

TOGETHER = ("align", "eval", "translate")  # commands that several processes share
PATIENCE = 2.0  # seconds after which a process repeats what the first would have said: a launcher ends it before that
STOPPED = "was stopped from outside: by the launcher because another process ended, or because the job was cancelled."


class Stopped(KeyboardInterrupt):
    """SIGTERM: how launchers and schedulers end a job."""


def shared(name: str, command: Callable[..., None]) -> Callable[..., None]:
    """The same command; started by a launcher, its processes meet first, and only the first of them prints.

    Raises PolyclipError for a command that is one process' work.
    """

    @wraps(command)
    def run(**given: object) -> None:
        if not distributed.launched():
            return command(**given)
        if name not in TOGETHER:
            raise PolyclipError(
                f"'polyclip {name}' is the work of one process, {os.environ['WORLD_SIZE']} were started: run it without torchrun or accelerate."
            )
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # else torch warns in every process that a tower uses all of its parameters
        signal.signal(signal.SIGTERM, _stop)
        distributed.start()
        with Path(os.devnull).open("w", encoding="utf-8") as nowhere, redirect_stdout(sys.stdout if distributed.first() else nowhere):
            command(**given)
        return distributed.stop()

    return run


def complain(error: PolyclipError) -> None:
    """Print an error on standard error, once for all processes that found it."""
    where = ""
    if not distributed.first():
        time.sleep(0.0 if isinstance(error, LostError) else PATIENCE)
        where = f" in process {os.environ['RANK']}"
    Console(stderr=True).print(f"error{where}: {error}", style="red", markup=False, highlight=False, soft_wrap=True)


def interrupted(error: KeyboardInterrupt, kept: str) -> None:
    """Say on standard error that what was made is `kept`."""
    who = f"Process {os.environ['RANK']} {STOPPED}" if isinstance(error, Stopped) else "Interrupted."
    if isinstance(error, Stopped) or distributed.first():
        Console(stderr=True).print(f"{who} {kept}", markup=False, soft_wrap=True)


def _stop(number: int, frame: FrameType | None) -> None:
    raise Stopped
