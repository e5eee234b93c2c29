"""Held-out rows of a corpus of one's own: `polyclip eval held-out --corpus my/corpus.toml`, and what `align` reports."""

from polyclip.evaluation.held_out import score

__all__ = ["score"]
