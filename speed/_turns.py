"""Start contenders and run them round by round in turn, so that noise affects all of them. Imports no torch."""

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
    """A contender: its name in the tables, the function that runs it, and its settings."""

    name: str
    target: str  # module:function
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass
class Measurement:
    """Results of a contender: at start-up, in each round, and its peak memory in MB."""

    name: str
    ready: dict[str, Any]
    rounds: list[dict[str, Any]] = field(default_factory=list)
    peak: float = 0.0

    def median(self, key: str) -> float:
        """Median over the rounds that have the key."""
        return statistics.median(found[key] for found in self.rounds if key in found)

    def to_json(self) -> dict[str, Any]:
        """Return the results as JSON values."""
        return {"ready": self.ready, "rounds": self.rounds, "peak_mb": round(self.peak)}


class Contender:
    """A running job in its own process."""

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
        self.found = Measurement(job.name, {})
        self.found.ready = self.receive() or {}

    def receive(self) -> dict[str, Any] | None:
        """Return its next message; None when it has ended.

        Raises:
            BenchmarkError: It failed or was killed.

        """
        try:
            said = self.pipe.recv()
        except EOFError:
            self.process.join()
            raise BenchmarkError(
                f"{self.job.name} ended with exit code {self.process.exitcode} (-9 is what the system does when "
                "memory runs out: --one-at-a-time needs less). "
                f"Its last words: {self.read_last_line()}"
            ) from None
        if "error" in said:
            raise BenchmarkError(f"{self.job.name} failed: {said['error']}")
        self.found.peak = said["peak"]
        self.finished = "done" in said
        measured: dict[str, Any] | None = said.get("measured")
        return measured

    def read_last_line(self) -> str:
        """Return the last line of its log."""
        lines = self.log.read_text("utf-8", errors="replace").strip().splitlines() if self.log.exists() else []
        return lines[-1] if lines else "none."

    def run_round(self) -> None:
        """Run one round, unless the contender has ended."""
        if self.finished:
            return
        self.pipe.send("go")
        measured = self.receive()
        if measured is not None:
            self.found.rounds.append(measured)

    def stop(self) -> Measurement:
        """End the contender; its last message holds its peak memory."""
        if not self.finished:
            self.pipe.send("stop")
            self.receive()
        self.process.join()
        return self.found

    def kill(self) -> None:
        """Kill the process at once."""
        self.process.kill()
        self.process.join()


def measure_in_turns(
    jobs: Sequence[Job], rounds: int, folder: Path, tell: Callable[[str], None], together: bool = True
) -> list[Measurement]:
    """Measure every job `rounds` times, all in turn, or one job after another.

    Args:
        jobs: Contenders.
        rounds: Rounds of each.
        folder: Work folder.
        tell: Called with a progress message.
        together: Whether contenders take turns.

    Returns:
        One measurement per job.

    Raises:
        BenchmarkError: A contender failed.

    """
    if not together:
        return [found for job in jobs for found in measure_in_turns([job], rounds, folder, tell)]
    running: list[Contender] = []
    try:
        for job in jobs:
            tell(f"{job.name}: getting ready")
            running.append(Contender(job, folder))
        for number in range(rounds):
            for contender in running:
                tell(f"{contender.job.name}: round {number + 1} of {rounds}")
                contender.run_round()
        return [contender.stop() for contender in running]
    finally:
        for contender in running:
            contender.kill()


def run_once(job: Job, folder: Path, tell: Callable[[str], None]) -> Measurement:
    """Run a job to its end."""
    return measure_in_turns([job], 1, folder, tell)[0]
