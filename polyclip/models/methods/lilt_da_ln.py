"""LilT-DA + LN: deep adapters and every normalisation."""

from polyclip.models.components.deep_adapter import deep_adapter
from polyclip.models.components.unfreeze import norms
from polyclip.models.method import SMALL, Method

METHOD = Method(
    about="heads, one new layer after the last of each tower, and every LayerNorm or BatchNorm",
    source="Khan and Fu 2023, LilT (arXiv 2303.11866)",
    text=(norms, deep_adapter),
    vision=(norms, deep_adapter),
    tower=SMALL,
)
