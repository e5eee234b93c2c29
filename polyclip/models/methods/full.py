"""Full training from pretrained towers, the paper's reference point."""

from polyclip.models.components.unfreeze import everything
from polyclip.models.method import SMALL, Method

METHOD = Method(
    about="everything: the heads and all parameters of both towers",
    source="Khan and Fu 2023, LilT (arXiv 2303.11866)",
    text=(everything,),
    vision=(everything,),
    tower=SMALL,
)
