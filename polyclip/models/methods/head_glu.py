"""Gated projection heads on frozen encoders, after SAIL, with InfoNCE; `--loss sigmoid` is SAIL's own loss."""

from polyclip.models.method import Method

METHOD = Method(
    about="two gated heads a branch, each trained by its own loss; both encoders are frozen, their features cached",
    source="Zhang et al. 2024, SAIL (arXiv 2412.04616)",
    gated=True,
    members=2,
)
