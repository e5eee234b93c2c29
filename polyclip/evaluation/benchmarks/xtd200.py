"""XTD200 (visheratin/nllb-clip, arXiv 2309.01859): XTD10's 1,000 COCO pictures and English captions, translated by NLLB-3.3B into 200 languages."""

from polyclip.evaluation import captioned
from polyclip.evaluation.benchmarks import _flores
from polyclip.evaluation.retrieval import Report, Request
from polyclip.models.aligner import PolyCLIP

NAME = "xtd200"


def score(aligner: PolyCLIP, request: Request) -> Report:
    """See `_table`."""
    return captioned.score(aligner, request, read(request))


def read(request: Request) -> captioned.Table:
    """See `_flores`."""
    return _flores.read(NAME, request, "test_image_names.txt")
