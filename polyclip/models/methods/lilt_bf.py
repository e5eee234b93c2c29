"""LilT-BF: BitFit in both encoders."""

from polyclip.models.components.unfreeze import unfreeze_biases
from polyclip.models.method import SMALL, Method

METHOD = Method(
    about="heads and every bias",
    source="Khan and Fu 2023, LilT (arXiv 2303.11866)",
    text=(unfreeze_biases,),
    vision=(unfreeze_biases,),
    tower=SMALL,
)
