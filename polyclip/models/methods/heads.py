"""Projection heads only: both towers stay as they are, and their features are computed once."""

from polyclip.models.method import Method

METHOD = Method(
    about="projection heads only; both towers are read from the cache",
    source="Khan and Fu 2023, LilT (arXiv 2303.11866)",
)
