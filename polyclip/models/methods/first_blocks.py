"""Only the first text blocks, where low-resource languages are said to lose most. `--text-layers :M` says how many."""

from polyclip.models.components.unfreeze import everything
from polyclip.models.method import Method

METHOD = Method(
    about="heads and the first blocks of the text encoder, four unless --text-layers says otherwise",
    source="arXiv 2608.30725",
    text=(everything,),
    text_layers=":4",
)
