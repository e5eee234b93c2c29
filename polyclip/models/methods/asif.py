"""ASIF: no training at all; the training pairs themselves are the model."""

from polyclip.models.components.closed_form import relative
from polyclip.models.method import Method

METHOD = Method(
    about="nothing: captions and pictures are compared by how near each is to the training pairs",
    source="Norelli et al. 2023, ASIF (arXiv 2210.01738)",
    relative=True,
    solve=relative,
)
