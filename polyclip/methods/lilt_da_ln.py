"""LilT-DA + LN: deep adapters and every normalisation."""

from polyclip.components.deep import deep_adapter
from polyclip.components.unlock import norms
from polyclip.method import SMALL, Method

METHOD = Method(
    about="heads, one new layer after the last of each tower, and every LayerNorm or BatchNorm",
    source="Khan and Fu 2023, LilT (arXiv 2303.11866)",
    text=(norms, deep_adapter),
    vision=(norms, deep_adapter),
    tower=SMALL,
)
