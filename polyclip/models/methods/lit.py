"""Locked-image tuning (LiT): the vision encoder is frozen, the whole text encoder is trained."""

from polyclip.models.components.unfreeze import unfreeze_all
from polyclip.models.method import SMALL, Method

METHOD = Method(
    about="heads and the whole text encoder; the vision encoder is frozen",
    source="Zhai et al. 2022, LiT (arXiv 2111.07991)",
    text=(unfreeze_all,),
    tower=SMALL,
)
