"""Full fine-tuning of both pretrained encoders, the reference point of the LilT paper."""

from polyclip.models.components.unfreeze import unfreeze_all
from polyclip.models.method import SMALL, Method

METHOD = Method(
    about="everything: the heads and all parameters of both encoders",
    source="Khan and Fu 2023, LilT (arXiv 2303.11866)",
    text=(unfreeze_all,),
    vision=(unfreeze_all,),
    tower=SMALL,
)
