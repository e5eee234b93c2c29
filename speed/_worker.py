"""A contender's process: it works only when it is its turn, and its peak memory is its own.

A contender is a function of its settings and of `turn`. It prepares everything, calls `turn` when ready, and calls it
again with its
measurements after each round; `turn` returns when the next round begins. The function may also return by itself.
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


class NoMoreRounds(BaseException):
    """Raised when there is no further round. A BaseException, so that no trainer's own handling catches it."""


def serve(pipe: Connection, target: str, settings: dict[str, Any], log: str) -> None:
    """Run `target` ("module:function"); output of libraries goes into the file `log`."""
    with Path(log).open("a") as handle:
        os.dup2(handle.fileno(), 1)
        os.dup2(handle.fileno(), 2)
    os.environ |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "true", "POLYCLIP_CACHE": settings["cache"]}
    module, name = target.split(":")

    def turn(**measured: Any) -> None:
        pipe.send({"measured": measured, "peak": measure_peak()})
        if pipe.recv() != "go":
            raise NoMoreRounds

    try:
        getattr(import_module(module), name)(settings, turn)
        pipe.send({"done": True, "peak": measure_peak()})
    except NoMoreRounds:
        pipe.send({"done": True, "peak": measure_peak()})
    except Exception as error:  # noqa: BLE001 (whatever a library raises is reported by the parent)
        traceback.print_exc()
        sys.stderr.flush()
        pipe.send({"error": f"{type(error).__name__}: {error}"})


def measure_peak() -> float:
    """Return the peak memory of this process in MB.

    On Linux from /proc, since getrusage also counts what the parent had when it started this process.
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
    """Wall-clock seconds, CPU seconds and joules spent inside `measure_spending`."""

    def __init__(self) -> None:
        self.seconds = self.processor = self.joules = 0.0
        self.measured = False

    def to_json(self) -> dict[str, Any]:
        """Return the values as JSON."""
        return {
            "seconds": self.seconds,
            "processor": self.processor,
            "joules": self.joules,
            "energy_measured": self.measured,
        }


@contextmanager
def measure_spending(spent: Spent) -> Iterator[Spent]:
    """Add the cost of the enclosed block to `spent`."""
    from polyclip.studies.energy import measure_energy

    used, started = time.process_time(), time.monotonic()
    with measure_energy() as energy:
        yield spent
        spent.seconds += time.monotonic() - started
        spent.processor += time.process_time() - used
    spent.joules += energy.joules
    spent.measured = energy.measured


def repeat_rounds(work: Callable[[], Any], turn: Turn, **facts: Any) -> None:
    """Run the rounds of a contender that repeats `work`; an unmeasured first call warms up."""
    work()
    turn(**facts)
    while True:
        with measure_spending(Spent()) as spent:
            work()
        turn(**spent.to_json())
