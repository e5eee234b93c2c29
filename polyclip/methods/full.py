"""Full training from pretrained towers, the paper's reference point."""

from polyclip.components.unlock import everything as install

ABOUT = "everything: the heads and all parameters of both towers"
__all__ = ["ABOUT", "install"]
