"""EfficientNet-Lite with fewer passes over memory: for encoding on a CPU alone, the same function up to rounding.

BatchNorm goes into the convolution before it, TensorFlow's uneven padding into the kernel, ReLU6 into oneDNN's
convolution, which reads its weights in an order of its own. In these blocks the order of the children is the order of
the computation; a test compares outputs.
"""

import itertools
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import pad
from torch.nn.utils.fusion import fuse_conv_bn_weights

from polyclip.core.matmul import find_operations
from polyclip.models.modules import find_module

SIX = 6.0  # where ReLU6 ends


def fold_norms(model: nn.Module) -> None:
    """Fold each BatchNorm that directly follows a convolution into it, keeping its activation; in place."""
    for module in list(model.modules()):
        before: nn.Module | None = None
        for name, child in list(module.named_children()):
            if isinstance(before, nn.Conv2d) and isinstance(child, nn.BatchNorm2d):
                statistics = (child.running_mean, child.running_var, child.eps, child.weight, child.bias)
                before.weight, before.bias = fuse_conv_bn_weights(before.weight, before.bias, *statistics)  # type: ignore[arg-type]
                act = find_module(child, "act")
                setattr(module, name, nn.Identity() if act is None else act)
            before = child


def replace_uneven_padding(model: nn.Module, size: int) -> None:
    """Replace TensorFlow's padding, which copies the map, by a kernel with a row and a column of zeros; in place.

    Args:
        model: timm's model, with its norms folded.
        size: Edge of its input in pixels: whether padding is uneven depends on it.

    """
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.Conv2d) and type(child) is not nn.Conv2d and child.stride == (2, 2):
                setattr(module, name, pad_evenly(child, size))
                size = -(-size // 2)


def pad_evenly(layer: nn.Conv2d, size: int) -> nn.Conv2d:
    """A convolution of stride 2 with even padding that equals one with TensorFlow's, for inputs of one size."""
    edge = layer.kernel_size[0]
    total = max((-(-size // 2) - 1) * 2 + edge - size, 0)
    more = total % 2  # how many pixels TensorFlow pads more at the end: as many zeros before the kernel
    even = total // 2 + more
    channels = (layer.in_channels, layer.out_channels)
    twin = nn.Conv2d(*channels, edge + more, stride=2, padding=even, groups=layer.groups, bias=layer.bias is not None)
    weight = pad(layer.weight, (more, 0, more, 0))
    twin.weight = nn.Parameter(weight.contiguous(memory_format=torch.channels_last), requires_grad=False)
    twin.bias = layer.bias
    return twin.eval()


class FusedConv2d(nn.Module):
    """A convolution by oneDNN, its weights in the order in which it reads them, its result clipped to [0, 6] on wish.

    torch itself orders the weights at each call, gives some convolutions of few images to a slower product, and clips
    in a pass of its own.

    Args:
        layer: The convolution.
        clipped: Whether a ReLU6 follows.
        dtype: In which it is multiplied; sums are float32.
        result: Type of its result.

    """

    def __init__(
        self, layer: nn.Conv2d, clipped: bool, dtype: torch.dtype = torch.float32, result: torch.dtype = torch.float32
    ) -> None:
        super().__init__()
        self.bias, self.dtype, self.result = layer.bias, dtype, result
        self.kernel = layer.kernel_size[0]
        self.where: list[Any] = [list(layer.padding), list(layer.stride), list(layer.dilation), layer.groups]
        self.clip = ("hardtanh", [0.0, SIX], "") if clipped else ("none", [], "")
        self.weight = layer.weight.detach().to(dtype)
        self._ordered: dict[torch.Size, Tensor] = {}  # by height and width of the maps

    def forward(self, maps: Float[Tensor, "image channel height width"]) -> Float[Tensor, "image out height2 width2"]:
        """Apply the convolution, and ReLU6."""
        given, weight = maps.to(self.dtype), self.order_weight(maps.shape)
        found: Tensor = torch.ops.mkldnn._convolution_pointwise(given, weight, self.bias, *self.where, *self.clip)
        return found.to(self.result)

    def order_weight(self, shape: torch.Size) -> Tensor:
        """The weight in oneDNN's order for maps of a shape: of their height and width, whatever their number."""
        if shape[2:] not in self._ordered:
            order = torch.ops.mkldnn._reorder_convolution_weight
            self._ordered[shape[2:]] = order(self.weight, *self.where, list(shape))
        return self._ordered[shape[2:]]


def fuse_convolutions(model: nn.Module, rounded: Mapping[nn.Module, torch.dtype]) -> None:
    """Run plain convolutions by oneDNN, each with the ReLU6 after it, where this torch has its operations; in place.

    Args:
        model: timm's model, with its norms folded.
        rounded: Convolutions that are multiplied in bf16, each with the type of its result.

    """
    if find_operations("_convolution_pointwise", "_reorder_convolution_weight") is None:
        return
    for module in list(model.modules()):
        children = [*module.named_children(), ("", None)]
        for (name, layer), (after, activation) in itertools.pairwise(children):
            if type(layer) is nn.Conv2d:
                clipped = isinstance(activation, nn.ReLU6)
                types = (torch.bfloat16, rounded[layer]) if layer in rounded else ()
                setattr(module, name, FusedConv2d(layer, clipped, *types))
                if clipped:
                    setattr(module, after, nn.Identity())
