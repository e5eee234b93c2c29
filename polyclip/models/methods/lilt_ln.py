"""LilT-LN: every normalisation gain and bias."""

from polyclip.models.components.unfreeze import norms
from polyclip.models.method import SMALL, Method

METHOD = Method(
    about="heads and every LayerNorm (BatchNorm in a convolutional tower)",
    source="Khan and Fu 2023, LilT (arXiv 2303.11866)",
    text=(norms,),
    vision=(norms,),
    tower=SMALL,
)
