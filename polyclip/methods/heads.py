"""Projection heads only: both towers stay as they are, and their features are computed once."""

ABOUT = "projection heads only; both towers are read from the cache"
GATED = False
MEMBERS = 1
TOWER = "efficientnet-lite2:depths"
install = None
