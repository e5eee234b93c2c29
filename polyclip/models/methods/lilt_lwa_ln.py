"""LilT-LwA + LN: layerwise adapters and every normalization layer."""

from polyclip.models.components.adapter import add_adapters
from polyclip.models.components.unfreeze import unfreeze_norms
from polyclip.models.method import SMALL, Method

METHOD = Method(
    about="heads, two adapters in every layer, and every LayerNorm or BatchNorm",
    source="Khan and Fu 2023, LilT (arXiv 2303.11866)",
    text=(add_adapters, unfreeze_norms),
    vision=(add_adapters, unfreeze_norms),
    tower=SMALL,
)
