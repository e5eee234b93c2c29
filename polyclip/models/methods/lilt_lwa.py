"""LilT-LwA: layerwise adapters, started at the identity."""

from polyclip.models.components.adapter import adapters
from polyclip.models.method import SMALL, Method

METHOD = Method(
    about="heads and two small adapters in every layer",
    source="Khan and Fu 2023, LilT (arXiv 2303.11866)",
    text=(adapters,),
    vision=(adapters,),
    tower=SMALL,
)
