"""Full training from pretrained towers, the paper's reference point."""

from polyclip.components.unlock import everything as install

ABOUT = "everything: the heads and all parameters of both towers"
GATED = False
MEMBERS = 1
TOWER = "efficientnet-lite0:depths"
__all__ = ["ABOUT", "GATED", "MEMBERS", "TOWER", "install"]
