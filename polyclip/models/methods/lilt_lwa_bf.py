"""LilT-LwA + BF: layerwise adapters and every bias."""

from polyclip.models.components.adapter import adapters
from polyclip.models.components.unfreeze import biases
from polyclip.models.method import SMALL, Method

METHOD = Method(
    about="heads, two adapters in every layer, and every bias",
    source="Khan and Fu 2023, LilT (arXiv 2303.11866)",
    text=(adapters, biases),
    vision=(adapters, biases),
    tower=SMALL,
)
