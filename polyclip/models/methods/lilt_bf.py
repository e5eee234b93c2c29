"""LilT-BF: BitFit in both towers."""

from polyclip.models.components.unfreeze import biases
from polyclip.models.method import SMALL, Method

METHOD = Method(
    about="heads and every bias",
    source="Khan and Fu 2023, LilT (arXiv 2303.11866)",
    text=(biases,),
    vision=(biases,),
    tower=SMALL,
)
