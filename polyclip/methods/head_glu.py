"""Gated heads on frozen towers, after SAIL (Zhang et al., arXiv 2412.04616), with InfoNCE. The default: best on validation."""

ABOUT = "two gated heads a side, each trained alone; both towers are read from the cache"
GATED = True
MEMBERS = 2
TOWER = "efficientnet-lite2:depths"
install = None
