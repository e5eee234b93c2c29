"""The side of a contender: a process of its own, so that its peak memory is its own, which works when it is its turn.

A contender is a function of its settings and of `turn`. It prepares everything, calls `turn` to say that it is ready, and calls it again
with what it measured after each round; `turn` comes back when the next round begins. It may also return of itself.
"""

import os
import resource
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

Turn = Callable[..., None]


class Enough(BaseException):
    """There is no further round. No Exception, so that no trainer's own handling keeps it."""


def serve(pipe: Connection, target: str, settings: dict[str, Any], log: str) -> None:
    """Run `target` ("module:function"). What libraries print goes into the file `log`."""
    with Path(log).open("a") as handle:
        os.dup2(handle.fileno(), 1)
        os.dup2(handle.fileno(), 2)
    os.environ |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "true", "POLYCLIP_CACHE": settings["cache"]}
    module, name = target.split(":")

    def turn(**measured: Any) -> None:
        pipe.send({"measured": measured, "peak": peak()})
        if pipe.recv() != "go":
            raise Enough

    try:
        getattr(import_module(module), name)(settings, turn)
        pipe.send({"done": True, "peak": peak()})
    except Enough:
        pipe.send({"done": True, "peak": peak()})
    except Exception as error:  # noqa: BLE001 (whatever a library raises is reported by the parent)
        traceback.print_exc()
        sys.stderr.flush()
        pipe.send({"error": f"{type(error).__name__}: {error}"})


def peak() -> float:
    """The most memory this process has had, MB.

    Linux: from /proc, since getrusage also counts what the parent had when it started this process.
    """
    status = Path("/proc/self/status")
    if status.exists():
        return (
            int(next(line for line in status.read_text().splitlines() if line.startswith("VmHWM")).split()[1])
            * 1024
            / 1e6
        )
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used / (1e6 if sys.platform == "darwin" else 1e3)


class Spent:
    """Seconds by the clock and of processor time, and joules, of what happened inside `spending`."""

    def __init__(self) -> None:
        self.seconds = self.processor = self.joules = 0.0
        self.measured = False

    def record(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "seconds": self.seconds,
            "processor": self.processor,
            "joules": self.joules,
            "energy_measured": self.measured,
        }


@contextmanager
def spending(spent: Spent) -> Iterator[Spent]:
    """Add what happens inside to `spent`."""
    from polyclip.studies.energy import metered

    used, started = time.process_time(), time.monotonic()
    with metered() as energy:
        yield spent
        spent.seconds += time.monotonic() - started
        spent.processor += time.process_time() - used
    spent.joules += energy.joules
    spent.measured = energy.measured


def repeat(work: Callable[[], Any], turn: Turn, **facts: Any) -> None:
    """The rounds of a contender that does the same `work` each time; the first, unmeasured, warms up."""
    work()
    turn(**facts)
    while True:
        with spending(Spent()) as spent:
            work()
        turn(**spent.record())
