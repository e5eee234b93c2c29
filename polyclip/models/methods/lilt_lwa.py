"""LilT-LwA: layerwise adapters, initialized as the identity."""

from polyclip.models.components.adapter import add_adapters
from polyclip.models.method import SMALL, Method

METHOD = Method(
    about="heads and two small adapters in every layer",
    source="Khan and Fu 2023, LilT (arXiv 2303.11866)",
    text=(add_adapters,),
    vision=(add_adapters,),
    tower=SMALL,
)
