"""XTD200 (visheratin/nllb-clip, arXiv 2309.01859): XTD10's 1,000 COCO pictures and English captions, translated by NLLB-3.3B into 200 languages."""

from polyclip.aligner import Aligner
from polyclip.benchmarks import _flores, _table
from polyclip.benchmarks._retrieval import Report, Request

NAME = "xtd200"


def score(aligner: Aligner, request: Request) -> Report:
    """See `_table`."""
    return _table.score(aligner, request, read(request))


def read(request: Request) -> _table.Table:
    """See `_flores`."""
    return _flores.read(NAME, request, "test_image_names.txt")
