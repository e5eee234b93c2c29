"""XTD200 (visheratin/nllb-clip, arXiv 2309.01859): XTD10's images.

Captions translated by NLLB-3.3B to 200 languages.
"""

from polyclip.evaluation import captioned
from polyclip.evaluation.benchmarks import _flores
from polyclip.evaluation.retrieval import BenchmarkReport, Request
from polyclip.models.aligner import PolyCLIP

NAME = "xtd200"


def score(aligner: PolyCLIP, request: Request) -> BenchmarkReport:
    """Score the requested languages; see `polyclip.evaluation.captioned.score`."""
    return captioned.score(aligner, request, read(request))


def read(request: Request) -> captioned.CaptionedDataset:
    """Read images and captions; see `polyclip.evaluation.benchmarks._flores`."""
    return _flores.read(NAME, request, "test_image_names.txt")
