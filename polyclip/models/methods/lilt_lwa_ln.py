"""LilT-LwA + LN: layerwise adapters and every normalisation."""

from polyclip.models.components.adapter import adapters
from polyclip.models.components.unfreeze import norms
from polyclip.models.method import SMALL, Method

METHOD = Method(
    about="heads, two adapters in every layer, and every LayerNorm or BatchNorm",
    source="Khan and Fu 2023, LilT (arXiv 2303.11866)",
    text=(adapters, norms),
    vision=(adapters, norms),
    tower=SMALL,
)
