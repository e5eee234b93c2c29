"""What a benchmark is: a module of `evaluation/benchmarks`, or of a package that registers `polyclip.benchmarks`."""

from typing import Protocol, cast, runtime_checkable

from polyclip.core.registry import find
from polyclip.evaluation.retrieval import BenchmarkReport, Request
from polyclip.models.aligner import PolyCLIP


@runtime_checkable
class Benchmark(Protocol):
    """Scores a model. A module with this function is a benchmark; its file's name is the benchmark's."""

    def score(self, aligner: PolyCLIP, request: Request) -> BenchmarkReport:
        """Score a model.

        Args:
            aligner: The model, in eval mode.
            request: Languages, split and files.

        Returns:
            Scores with intervals, row counts and notes. A constant model scores chance, ties count against the model.

        Raises:
            DataError: Files are missing or are not the official ones.
            UnknownName: There is no such language or split.

        """
        ...


def find_benchmark(name: str) -> Benchmark:
    """Find a benchmark by name.

    Raises:
        UnknownName: There is none of that name; the nearest are listed.

    """
    return cast(Benchmark, find("benchmarks", name))
