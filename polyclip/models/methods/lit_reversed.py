"""LiT reversed: the text encoder is frozen, the whole vision encoder is trained."""

from polyclip.models.components.unfreeze import unfreeze_all
from polyclip.models.method import SMALL, Method

METHOD = Method(
    about="heads and the whole vision encoder; the text encoder is frozen",
    source="Khan and Fu 2023, LilT (arXiv 2303.11866)",
    vision=(unfreeze_all,),
    tower=SMALL,
)
