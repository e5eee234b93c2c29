"""Gated heads on frozen towers, after SAIL, with InfoNCE. The default: best on validation. `--loss sigmoid` is SAIL's own loss."""

from polyclip.models.method import Method

METHOD = Method(
    about="two gated heads a side, each trained alone; both towers are read from the cache",
    source="Zhang et al. 2024, SAIL (arXiv 2412.04616)",
    gated=True,
    members=2,
)
