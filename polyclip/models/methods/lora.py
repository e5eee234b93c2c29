"""LoRA in both towers; `--rank` gives each tower, kind of block and layer its own (HALoRA's asymmetric budget)."""

from polyclip.models.components.lora import low_rank
from polyclip.models.method import SMALL, Method

METHOD = Method(
    about="heads and low-rank updates of the linear maps and 1x1 convolutions",
    source="Hu et al. 2022, LoRA (arXiv 2106.09685)",
    text=(low_rank,),
    vision=(low_rank,),
    tower=SMALL,
)
