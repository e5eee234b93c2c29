"""Held-out concepts of the starter corpus. OpenMoji alone draws every concept, flags too: the other styles' galleries are smaller."""

from dataclasses import replace

from polyclip.evaluation import held_out
from polyclip.evaluation.retrieval import Report, Request
from polyclip.models.aligner import PolyCLIP


def score(aligner: PolyCLIP, request: Request) -> Report:
    """See `_held_out`."""
    return held_out.score(aligner, replace(request, corpus="emoji"))
