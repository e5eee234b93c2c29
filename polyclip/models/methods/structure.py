"""STRUCTURE: linear heads that keep neighbourhoods, on the pair of layers that agree most."""

from polyclip.models.components.structure import choose_layer_pair, compute_penalty
from polyclip.models.method import Method

METHOD = Method(
    about="linear heads that keep who is near whom, on the two layers that agree most",
    source="Groeger et al. 2025, STRUCTURE (arXiv 2506.16895)",
    penalty=compute_penalty,
    choose=choose_layer_pair,
    tower="efficientnet-lite2",
)
