"""Held-out rows of any corpus: `polyclip eval held-out --corpus my/corpus.toml`, and what `align` reports."""

from polyclip.evaluation.per_corpus import score

__all__ = ["score"]
