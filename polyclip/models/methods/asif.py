"""ASIF: no training; embeddings are similarities to the training pairs."""

from polyclip.models.components.closed_form import fit_relative
from polyclip.models.method import Method

METHOD = Method(
    about="nothing: embeddings are similarities of captions and images to the training pairs",
    source="Norelli et al. 2023, ASIF (arXiv 2210.01738)",
    relative=True,
    solve=fit_relative,
)
