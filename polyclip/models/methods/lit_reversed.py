"""The other way round: the text encoder stays as it is."""

from polyclip.models.components.unfreeze import everything
from polyclip.models.method import SMALL, Method

METHOD = Method(
    about="heads and the whole vision tower; the text encoder is locked",
    source="Khan and Fu 2023, LilT (arXiv 2303.11866)",
    vision=(everything,),
    tower=SMALL,
)
