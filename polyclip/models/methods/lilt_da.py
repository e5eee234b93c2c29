"""LilT-DA: deep adapters; everything below them is read from the cache."""

from polyclip.models.components.deep_adapter import add_deep_adapter
from polyclip.models.method import SMALL, Method

METHOD = Method(
    about="heads, one new layer after the last of each encoder, and its final norm",
    source="Khan and Fu 2023, LilT (arXiv 2303.11866)",
    text=(add_deep_adapter,),
    vision=(add_deep_adapter,),
    tower=SMALL,
)
