"""LilT-LN: every normalisation gain and bias."""

from polyclip.components.unlock import norms
from polyclip.method import SMALL, Method

METHOD = Method(
    about="heads and every LayerNorm (BatchNorm in a convolutional tower)",
    source="Khan and Fu 2023, LilT (arXiv 2303.11866)",
    text=(norms,),
    vision=(norms,),
    tower=SMALL,
)
