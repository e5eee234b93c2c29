"""LilT-LwA (arXiv 2303.11866): layerwise adapters, started at the identity."""

from polyclip.components.adapter import insert_adapters as install

ABOUT = "heads and two small adapters in every layer"
GATED = False
MEMBERS = 1
TOWER = "efficientnet-lite0:depths"
__all__ = ["ABOUT", "GATED", "MEMBERS", "TOWER", "install"]
