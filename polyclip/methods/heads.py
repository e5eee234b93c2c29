"""Projection heads only: both towers stay as they are, and their features are computed once."""

ABOUT = "projection heads only; both towers are read from the cache"
GATED = False
TOWER = "efficientnet-lite2:depths"
install = None
