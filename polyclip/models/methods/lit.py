"""Locked-image tuning: the vision tower stays as it is."""

from polyclip.models.components.unfreeze import everything
from polyclip.models.method import SMALL, Method

METHOD = Method(
    about="heads and the whole text encoder; the vision tower is locked",
    source="Zhai et al. 2022, LiT (arXiv 2111.07991)",
    text=(everything,),
    tower=SMALL,
)
