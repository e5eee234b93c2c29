"""What a model is made of."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """What a model is made of: enough to build it again, empty.

    Attributes:
        text_encoder: As `--text-encoder`, whose default, `e5-small:,adapter=names`, has an adapter; this one has none.
        vision_tower: As `--vision-tower`.
        method: One of `list_methods()`.
        tune: Towers in which the method's parts are put: `both`, `text` or `vision`.
        dim: Length of one head's embedding in the shared space.
        text_dropout: Share of a caption's dimensions that training leaves out, in [0, 1).
        image_dropout: The same of an image's.
        loss: Name of the loss; empty for the method's own.
        text_layers: Layers in which the method's parts are put, `first:end`; empty for the method's own, else all.
        vision_layers: The same in the vision encoder.
        rank: Of low-rank updates: a number, or a budget (`polyclip.models.components.lora`).
        teacher: The aligned model that a distillation method learns from.
        image_head: Of a distillation method, the teacher's head: `pass`, or kind, dim and members, as `gated 384 2`; of
            a joint head also its space and the dimensions of its class names, as `joint-linear 128 4 383 256`.
        anchors: Pairs that a relative head keeps; found by the method.
        name_units: Nodes of the vision encoder's class names beside the heads; found by the method.
        name_dim: Dimensions that they take.
        space: Length of the embeddings of joint heads; found by the method.

    """

    text_encoder: str = "e5-small"
    vision_tower: str = "efficientnet-lite2"
    method: str = "head-mlp"
    tune: str = "both"
    dim: int = 384
    text_dropout: float = 0.1
    image_dropout: float = 0.3
    loss: str = ""
    text_layers: str = ""
    vision_layers: str = ""
    rank: str = "8"
    teacher: str = ""
    image_head: str = ""
    anchors: int = 0
    name_units: int = 0
    name_dim: int = 0
    space: int = 0
