"""Train the first blocks of the text encoder only; `--text-layers :M` says how many."""

from polyclip.models.components.unfreeze import unfreeze_all
from polyclip.models.method import Method

METHOD = Method(
    about="heads and the first blocks of the text encoder, four unless --text-layers says otherwise",
    source="arXiv 2608.30725",
    text=(unfreeze_all,),
    text_layers=":4",
)
