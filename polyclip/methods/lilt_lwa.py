"""LilT-LwA (arXiv 2303.11866): layerwise adapters, started at the identity."""

from polyclip.components.adapter import insert_adapters as install

ABOUT = "heads and two small adapters in every layer"
GATED = False
__all__ = ["ABOUT", "GATED", "install"]
