"""Held-out concepts of the starter corpus. OpenMoji alone draws every concept, flags too: the other styles' galleries are smaller."""

from dataclasses import replace

from polyclip.aligner import Aligner
from polyclip.benchmarks import _held_out
from polyclip.benchmarks._retrieval import Report, Request


def score(aligner: Aligner, request: Request) -> Report:
    """See `_held_out`."""
    return _held_out.score(aligner, replace(request, corpus="emoji"))
