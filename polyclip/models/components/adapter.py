"""Layerwise adapters (LilT, arXiv 2303.11866; Houlsby et al. 2019, arXiv 1902.00751), initialized as the identity."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from polyclip.errors import DataError
from polyclip.models.components.target import TargetLayers
from polyclip.models.modules import find_module

REDUCTION = 4  # hidden -> hidden / 4 -> hidden
PRE_NORMS = (  # of a layer: before attention, and before its feed-forward part; one alone is another kind of norm
    ("norm1", "norm2"),
    ("layernorm_before", "layernorm_after"),
    ("self_attn_layer_norm", "final_layer_norm"),
    ("layer_norm1", "layer_norm2"),
)


class Adapter(nn.Module):
    """Bottleneck adapter x + W_up(GELU(W_down x)) on the last dimension.

    W_up starts at zero, so that the encoder's output is unchanged before the first step.

    Args:
        width: Size of the last dimension; the bottleneck has a quarter of it.

    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.down = nn.Linear(width, width // REDUCTION)
        self.up = nn.Linear(width // REDUCTION, width)
        nn.init.normal_(self.down.weight, std=0.02)
        nn.init.zeros_(self.down.bias)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, hidden: Tensor) -> Tensor:
        """Apply the adapter; the result has the shape of `hidden`."""
        return hidden + self.up(nn.functional.gelu(self.down(hidden)))


class ConvAdapter(nn.Module):
    """Bottleneck adapter on feature maps: 1x1 convolutions over the channels.

    Args:
        width: Channels of the feature map.

    """

    def __init__(self, width: int) -> None:
        super().__init__()
        inner = max(1, width // REDUCTION)
        self.down = nn.Conv2d(width, inner, 1)
        self.up = nn.Conv2d(inner, width, 1)
        nn.init.normal_(self.down.weight, std=0.02)
        for constant in (self.down.bias, self.up.weight, self.up.bias):
            if constant is not None:
                nn.init.zeros_(constant)

    def forward(self, hidden: Tensor) -> Tensor:
        """Apply the adapter; the result has the shape of `hidden`, [image, channel, height, width]."""
        return hidden + self.up(nn.functional.gelu(self.down(hidden)))


def add_adapters(target: TargetLayers) -> list[nn.Parameter]:
    """Put two adapters into every transformer layer, or one after every convolutional block.

    Post-LN BERT family: after the attention output's dense layer and after the feed-forward's second, before the
    residual sum. Pre-LN ViT: before each of a block's two norms, on the residual branch. Convolutional encoders: after
    every block.

    Args:
        target: The encoder and which of its layers get adapters.

    Returns:
        The adapters' parameters.

    Raises:
        DataError: The encoder has none of these places.

    """
    added: list[nn.Parameter] = []
    for parent, name, before in list(_places(target)):
        child = parent.get_submodule(name)
        adapter = _adapter_for(child, before)
        setattr(parent, name, nn.Sequential(adapter, child) if before else nn.Sequential(child, adapter))
        added += adapter.parameters()
    if not added:
        raise DataError(
            f"Layerwise adapters have no place in a {target.name}: expected BERT-style layers "
            "(attention.output.dense, output.dense), "
            "ViT blocks (norm1, norm2) or convolutional blocks. Use --method heads."
        )
    return added


def _places(target: TargetLayers) -> Iterator[tuple[nn.Module, str, bool]]:
    """Yield (module, name of its child, whether the adapter goes before that child)."""
    for _, module in target.modules():
        if isinstance(find_module(module, "dense"), nn.Linear) and isinstance(
            find_module(module, "LayerNorm"), nn.LayerNorm
        ):
            yield module, "dense", False
        for pair in PRE_NORMS:
            if all(isinstance(find_module(module, norm), nn.LayerNorm) for norm in pair):
                yield from ((module, norm, True) for norm in pair)
    if target.encoder.trunk.kind == "map":
        for number in target.layer_numbers():
            stage = target.encoder.trunk.layers[number]
            yield from (
                (stage, name, False) for name, block in stage.named_children() if _out_channels(block) is not None
            )


def _adapter_for(child: nn.Module, before: bool) -> nn.Module:
    if isinstance(child, nn.Linear):
        return Adapter(child.out_features)
    if isinstance(child, nn.LayerNorm):
        return Adapter(child.normalized_shape[0])
    channels = _out_channels(child)
    if channels is None:
        raise DataError(f"No adapter fits a {type(child).__name__}.")
    return ConvAdapter(channels)


def _out_channels(block: nn.Module) -> int | None:
    """Output channels of a convolutional block: those of its last convolution."""
    convolutions = [m for m in block.modules() if isinstance(m, nn.Conv2d)]
    return convolutions[-1].out_channels if convolutions else None


def is_identity(adapter: Adapter | ConvAdapter) -> bool:
    """Whether the adapter still returns its input unchanged."""
    return not torch.any(adapter.up.weight) and adapter.up.bias is not None and not torch.any(adapter.up.bias)
