"""LoRA in both encoders; `--rank` sets the rank by encoder, kind of block and layer (HALoRA's asymmetric budget)."""

from polyclip.models.components.lora import add_lora
from polyclip.models.method import SMALL, Method

METHOD = Method(
    about="heads and low-rank updates of the linear maps and 1x1 convolutions",
    source="Hu et al. 2022, LoRA (arXiv 2106.09685)",
    text=(add_lora,),
    vision=(add_lora,),
    tower=SMALL,
)
