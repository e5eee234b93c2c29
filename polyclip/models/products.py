"""Matrix products in fp32, bf16 or int8: they take nearly all time of an encoder, and tolerate a coarser format.

Inputs and weights are rounded, sums are taken in float32 or wider.
"""

from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import linear

from polyclip.core.encode_precision import BF16, INT8


@runtime_checkable
class Product(Protocol):
    """A linear map x W^T + b with its weights in some format."""

    def __call__(self, rows: Float[Tensor, "row width"]) -> Float[Tensor, "row inner"]:
        """Apply the map; the result may be in a shorter format."""
        ...

    def add_to(
        self, hidden: Float[Tensor, "row inner"], rows: Float[Tensor, "row width"]
    ) -> Float[Tensor, "row inner"]:
        """Add the map of `rows` to `hidden`, in float32."""
        ...


class Fp32Product:
    """A product in float32."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self.weight, self.bias = weight, bias

    def __call__(self, rows: Tensor) -> Tensor:
        """Apply the map to some rows."""
        return linear(rows, self.weight, self.bias)

    def add_to(self, hidden: Tensor, rows: Tensor) -> Tensor:
        """Add the map of `rows` to `hidden`, with one pass over memory less than map and sum would take."""
        return torch.add(hidden, self.bias).addmm_(rows, self.weight.t())


class Bf16Product:
    """A product with weights and inputs in bf16."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self.weight, self.bias = weight.bfloat16(), bias.bfloat16()

    def __call__(self, rows: Tensor) -> Tensor:
        """Apply the map; the result is bf16."""
        return linear(rows.bfloat16(), self.weight, self.bias)

    def add_to(self, hidden: Tensor, rows: Tensor) -> Tensor:
        """Add the map of `rows` to `hidden`."""
        return hidden + self(rows)


class Int8Product:
    """A product with weights in int8 with a scale for each output, inputs in int8 with a scale for each row."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        rounded, scales = round_rows(weight.detach().float())
        self.weight, self.scales, self.bias = rounded.t(), scales.t(), bias.detach()

    def __call__(self, rows: Tensor) -> Tensor:
        """Apply the map to some rows."""
        flat, scales = round_rows(rows.reshape(-1, rows.shape[-1]).float())
        out = torch._int_mm(flat, self.weight).float().mul_(scales).mul_(self.scales).add_(self.bias)
        return out.view(*rows.shape[:-1], -1)

    def add_to(self, hidden: Tensor, rows: Tensor) -> Tensor:
        """Add the map of `rows` to `hidden`."""
        return self(rows).add_(hidden)


def round_rows(values: Float[Tensor, "row width"]) -> tuple[Tensor, Tensor]:
    """Round each row to int8 by a scale of its own; the scales are [row, 1]."""
    scales = values.abs().amax(1, keepdim=True).clamp_(min=1e-12) / 127
    return (values / scales).round_().to(torch.int8), scales


FORMATS: dict[str, Any] = {BF16: Bf16Product, INT8: Int8Product}


def make_product(weight: Float[Tensor, "inner width"], bias: Float[Tensor, " inner"], precision: str) -> Product:
    """A linear map with its weights in a format.

    Args:
        weight: As `nn.Linear` has it.
        bias: Likewise.
        precision: `fp32`, `bf16` or `int8`.

    Returns:
        The map.

    """
    product: Product = FORMATS.get(precision, Fp32Product)(weight, bias)
    return product


class RoundedLinear(nn.Module):
    """An `nn.Linear` of a frozen encoder in another format; it takes and gives float32."""

    def __init__(self, layer: nn.Linear, precision: str) -> None:
        super().__init__()
        bias = layer.bias if layer.bias is not None else layer.weight.new_zeros(len(layer.weight))
        self.in_features, self.out_features = layer.in_features, layer.out_features
        self.product = make_product(layer.weight, bias, precision)

    def forward(self, rows: Tensor) -> Tensor:
        """Apply the layer to some rows."""
        return self.product(rows).float()


def round_linear_layers(encoder: nn.Module, precision: str) -> None:
    """Put the linear layers of a frozen encoder into another format, in place.

    Convolutions stay float32: rounding those of EfficientNet-Lite saves a quarter of the time and costs more accuracy
    than rounding all layers of a transformer.

    Args:
        encoder: In eval mode, on a CPU.
        precision: `bf16` or `int8`.

    """
    for module in list(encoder.modules()):
        for name, child in list(module.named_children()):
            if type(child) is nn.Linear:
                setattr(module, name, RoundedLinear(child, precision))
