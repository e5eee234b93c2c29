"""Held-out concepts of the starter corpus; only OpenMoji has every concept, the other styles' galleries are smaller."""

from dataclasses import replace

from polyclip.evaluation import held_out
from polyclip.evaluation.retrieval import BenchmarkReport, Request
from polyclip.models.aligner import PolyCLIP


def score(aligner: PolyCLIP, request: Request) -> BenchmarkReport:
    """Score held-out concepts of the starter corpus; see `polyclip.evaluation.held_out.score`."""
    return held_out.score(aligner, replace(request, corpus="emoji"))
