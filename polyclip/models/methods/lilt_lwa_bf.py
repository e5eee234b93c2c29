"""LilT-LwA + BF: layerwise adapters and every bias."""

from polyclip.models.components.adapter import add_adapters
from polyclip.models.components.unfreeze import unfreeze_biases
from polyclip.models.method import SMALL, Method

METHOD = Method(
    about="heads, two adapters in every layer, and every bias",
    source="Khan and Fu 2023, LilT (arXiv 2303.11866)",
    text=(add_adapters, unfreeze_biases),
    vision=(add_adapters, unfreeze_biases),
    tower=SMALL,
)
