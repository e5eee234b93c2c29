"""Linear projection heads only: both encoders are frozen, and their features are computed once."""

from polyclip.models.method import Method

METHOD = Method(
    about="projection heads only; both encoders are frozen, their features cached",
    source="Khan and Fu 2023, LilT (arXiv 2303.11866)",
)
