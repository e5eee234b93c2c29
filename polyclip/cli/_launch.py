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

from polyclip.core import distributed
from polyclip.core.distributed import LostError
from polyclip.errors import PolyclipError

TOGETHER = ("align", "eval", "translate")  # commands that several processes share
PATIENCE = 2.0  # seconds after which a process repeats what the first would have said: a launcher ends it before that
STOPPED = (
    "was stopped from outside: by the launcher because another process ended, or because the job was cancelled. "
    "What was made so far is kept: the same command goes on from there, 'polyclip align' with --resume."
)


class JobStopped(KeyboardInterrupt):
    """SIGTERM: how launchers and schedulers end a job."""


def share_command(name: str, command: Callable[..., None]) -> Callable[..., None]:
    """The same command; started by a launcher, its processes meet first, and only the first of them prints.

    Raises PolyclipError for a command that is one process' work.
    """

    @wraps(command)
    def run(**given: object) -> None:
        if not distributed.is_launched():
            command(**given)
            return
        if name not in TOGETHER:
            raise PolyclipError(
                f"'polyclip {name}' is the work of one process, {os.environ['WORLD_SIZE']} were started: run it without torchrun or accelerate."
            )
        os.environ.setdefault(
            "TORCH_CPP_LOG_LEVEL", "ERROR"
        )  # else torch warns in every process that a tower uses all of its parameters
        signal.signal(signal.SIGTERM, _stop)
        distributed.start()
        with (
            Path(os.devnull).open("w", encoding="utf-8") as nowhere,
            redirect_stdout(sys.stdout if distributed.is_first_process() else nowhere),
        ):
            command(**given)
        distributed.stop()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

    return run


def report_error(error: PolyclipError) -> None:
    """Print an error on standard error, once for all processes that found it."""
    where = ""
    if distributed.is_launched():
        at_once = distributed.is_first_process() or isinstance(error, LostError)
        signal.signal(signal.SIGTERM, signal.SIG_IGN if at_once else signal.SIG_DFL)  # said whole, or not at all
        time.sleep(0.0 if at_once else PATIENCE)
        where = "" if distributed.is_first_process() else f" in process {os.environ['RANK']}"
    Console(stderr=True).print(f"error{where}: {error}", style="red", markup=False, highlight=False, soft_wrap=True)


def report_interrupt(error: KeyboardInterrupt, kept: str) -> None:
    """Say on standard error that what was made is `kept`; a process that was stopped has said so."""
    if not isinstance(error, JobStopped) and distributed.is_first_process():
        Console(stderr=True).print(f"Interrupted. {kept}", markup=False, soft_wrap=True)


def _stop(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough
    os.write(2, f"Process {os.environ['RANK']} {STOPPED}\n".encode())
    raise JobStopped
