"""Flickr30k-200 (visheratin/nllb-clip, arXiv 2309.01859): Flickr30k's test images, captions in 200 languages.

1,000 images with one caption each, translated by NLLB-3.3B.
"""

from polyclip.evaluation import captioned
from polyclip.evaluation.benchmarks import _flores
from polyclip.evaluation.retrieval import BenchmarkReport, Request
from polyclip.models.aligner import PolyCLIP

NAME = "flickr30k-200"


def score(aligner: PolyCLIP, request: Request) -> BenchmarkReport:
    """Score the requested languages; see `polyclip.evaluation.captioned.score`."""
    return captioned.score(aligner, request, read(request))


def read(request: Request) -> captioned.CaptionedDataset:
    """Read images and captions; English is there twice, as eng_Latn.txt and as eng_captions.txt."""
    return _flores.read(NAME, request, "filenames.txt", ("eng_captions.txt",))
