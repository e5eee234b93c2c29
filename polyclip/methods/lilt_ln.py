"""LilT-LN (arXiv 2303.11866): every normalisation gain and bias."""

from polyclip.components.unlock import norms as install

ABOUT = "heads and every LayerNorm (BatchNorm in a convolutional tower)"
GATED = False
MEMBERS = 1
TOWER = "efficientnet-lite0:depths"
__all__ = ["ABOUT", "GATED", "MEMBERS", "TOWER", "install"]
