"""LilT-DA + LN: deep adapters and every normalization layer."""

from polyclip.models.components.deep_adapter import add_deep_adapter
from polyclip.models.components.unfreeze import unfreeze_norms
from polyclip.models.method import SMALL, Method

METHOD = Method(
    about="heads, one new layer after the last of each encoder, and every LayerNorm or BatchNorm",
    source="Khan and Fu 2023, LilT (arXiv 2303.11866)",
    text=(unfreeze_norms, add_deep_adapter),
    vision=(unfreeze_norms, add_deep_adapter),
    tower=SMALL,
)
