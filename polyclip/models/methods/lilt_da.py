"""LilT-DA: deep adapters. Everything below them is read from the cache."""

from polyclip.models.components.deep_adapter import deep_adapter
from polyclip.models.method import SMALL, Method

METHOD = Method(
    about="heads, one new layer after the last of each tower, and its final norm",
    source="Khan and Fu 2023, LilT (arXiv 2303.11866)",
    text=(deep_adapter,),
    vision=(deep_adapter,),
    tower=SMALL,
)
