"""LilT-LN: gain and bias of every normalization layer."""

from polyclip.models.components.unfreeze import unfreeze_norms
from polyclip.models.method import SMALL, Method

METHOD = Method(
    about="heads and every LayerNorm (BatchNorm in a convolutional encoder)",
    source="Khan and Fu 2023, LilT (arXiv 2303.11866)",
    text=(unfreeze_norms,),
    vision=(unfreeze_norms,),
    tower=SMALL,
)
