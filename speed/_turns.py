"""The side that starts contenders and gives them their turns, round by round, so that a noisy machine is noisy for all. Imports no torch."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from speed._worker import serve


class BenchmarkError(Exception):
    """A contender that could not be measured; the message says which, why, and where its log is."""


@dataclass(frozen=True)
class Job:
    """A contender: its name in the tables, the function that runs it, what that takes."""

    name: str
    target: str  # module:function
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass
class Measured:
    """What a contender said: when it was ready, in each round, and the most memory it had, MB."""

    name: str
    ready: dict[str, Any]
    rounds: list[dict[str, Any]] = field(default_factory=list)
    peak: float = 0.0

    def median(self, key: str) -> float:
        """Of the rounds that have the key."""
        return statistics.median(found[key] for found in self.rounds if key in found)

    def record(self) -> dict[str, Any]:
        """As JSON."""
        return {"ready": self.ready, "rounds": self.rounds, "peak_mb": round(self.peak)}


class Contender:
    """A running job."""

    def __init__(self, job: Job, folder: Path) -> None:
        self.job = job
        self.log = folder / f"{job.target.rpartition(':')[2]}.log"
        context = get_context("spawn")
        self.pipe, other = context.Pipe()
        settings = {"cache": str(folder / "cache"), "work": str(folder), **job.settings}
        self.process = context.Process(target=serve, args=(other, job.target, settings, str(self.log)), daemon=True)
        self.process.start()
        other.close()
        self.finished = False
        self.found = Measured(job.name, {})
        self.found.ready = self.answer() or {}

    def answer(self) -> dict[str, Any] | None:
        """What it says next; None when it has ended.

        Raises BenchmarkError when it failed or was killed.
        """
        try:
            said = self.pipe.recv()
        except EOFError:
            self.process.join()
            raise BenchmarkError(
                f"{self.job.name} ended with exit code {self.process.exitcode} (-9 is what the system does when memory runs out: --one-at-a-time needs less). "
                f"Its last words: {self.words()}"
            ) from None
        if "error" in said:
            raise BenchmarkError(f"{self.job.name} failed: {said['error']}")
        self.found.peak = said["peak"]
        self.finished = "done" in said
        measured: dict[str, Any] | None = said.get("measured")
        return measured

    def words(self) -> str:
        """The last line of its log."""
        lines = self.log.read_text("utf-8", errors="replace").strip().splitlines() if self.log.exists() else []
        return lines[-1] if lines else "none."

    def round(self) -> None:
        """One round, unless it has ended of itself."""
        if self.finished:
            return
        self.pipe.send("go")
        measured = self.answer()
        if measured is not None:
            self.found.rounds.append(measured)

    def stop(self) -> Measured:
        """End it; the last thing it says is its peak."""
        if not self.finished:
            self.pipe.send("stop")
            self.answer()
        self.process.join()
        return self.found

    def kill(self) -> None:
        """At once."""
        self.process.kill()
        self.process.join()


def in_turns(
    jobs: Sequence[Job], rounds: int, folder: Path, tell: Callable[[str], None], together: bool = True
) -> list[Measured]:
    """Measure every job `rounds` times, all in turn, or one job after another.

    Raises BenchmarkError as soon as one fails.
    """
    if not together:
        return [found for job in jobs for found in in_turns([job], rounds, folder, tell)]
    running: list[Contender] = []
    try:
        for job in jobs:
            tell(f"{job.name}: getting ready")
            running.append(Contender(job, folder))
        for number in range(rounds):
            for contender in running:
                tell(f"{contender.job.name}: round {number + 1} of {rounds}")
                contender.round()
        return [contender.stop() for contender in running]
    finally:
        for contender in running:
            contender.kill()


def once(job: Job, folder: Path, tell: Callable[[str], None]) -> Measured:
    """Run a job to its end."""
    return in_turns([job], 1, folder, tell)[0]
