"""Run a command in one of several processes of a job: who prints, and what is reported when the job ends early."""

import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from functools import wraps
from pathlib import Path
from types import FrameType

from polyclip.core import distributed
from polyclip.core.distributed import LostError
from polyclip.core.environment import read_variable
from polyclip.core.launch import is_launched
from polyclip.core.terminal import PlainConsole
from polyclip.core.text import show_line
from polyclip.errors import PolyclipError

TOGETHER = ("align", "eval", "translate")  # commands that several processes share
PATIENCE = 2.0  # seconds until another process prints what the first would have printed; a launcher ends it before that
STOPPED = (
    "was stopped by the launcher, because another process ended or the job was cancelled. "
    "Finished work is kept: run the same command to resume, 'polyclip align' with --resume."
)


class JobStopped(KeyboardInterrupt):
    """Raised on SIGTERM, by which launchers and schedulers end a job."""


def share_command(name: str, command: Callable[..., None]) -> Callable[..., None]:
    """Wrap a command so that processes started by a launcher join first, and only the first of them prints.

    Raises:
        PolyclipError: The command runs in one process only.

    """

    @wraps(command)
    def run(**given: object) -> None:
        if not is_launched():
            command(**given)
            return
        if name not in TOGETHER:
            raise PolyclipError(
                f"'polyclip {name}' runs in one process only, but {read_variable('WORLD_SIZE')} were started: run it "
                "without torchrun or accelerate."
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
    """Print an error on standard error, once for all processes that raised it."""
    where = ""
    if _is_launched():
        at_once = distributed.is_first_process() or isinstance(error, LostError)
        signal.signal(signal.SIGTERM, signal.SIG_IGN if at_once else signal.SIG_DFL)  # printed completely or not at all
        time.sleep(0.0 if at_once else PATIENCE)
        where = "" if distributed.is_first_process() else f" in process {read_variable('RANK')}"
    PlainConsole(stderr=True).print(
        f"error{where}: {show_line(str(error))}", style="red", highlight=False, soft_wrap=True
    )


def report_interrupt(error: KeyboardInterrupt, kept: str) -> None:
    """Say on standard error what was kept; a stopped process has said so already."""
    if not isinstance(error, JobStopped) and distributed.is_first_process():
        PlainConsole(stderr=True).print(f"Interrupted. {kept}", soft_wrap=True)


def _is_launched() -> bool:
    """Whether this is one of several processes; not where the launcher's own variables are the error."""
    try:
        return is_launched()
    except PolyclipError:
        return False


def _stop(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough
    os.write(2, f"Process {read_variable('RANK')} {STOPPED}\n".encode())
    raise JobStopped
