"""Gated heads on frozen towers, after SAIL (Zhang et al., arXiv 2412.04616), with InfoNCE. The default: best on validation."""

ABOUT = "linear heads and a gated branch beside each; both towers are read from the cache"
GATED = True
TOWER = "efficientnet-lite2:depths"
install = None
