"""Embed one text query without torch, whose import takes longer than everything else a search does.

It is the same function as `polyclip.models` in numpy, for the default text encoder with nothing trained in it, and for
heads of linear maps. Where a model has anything else, or its files were not verified yet, the caller uses torch.
"""

from polyclip.search.quick.embed import embed_text

__all__ = ["embed_text"]
