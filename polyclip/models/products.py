"""Matrix products in fp32, bf16 or int8: they take nearly all time of an encoder, and tolerate a coarser format.

Inputs and weights are rounded, sums are taken in float32 or wider. On a CPU that multiplies a coarser format more
slowly than float32, because it lacks the instructions, the rounded numbers are multiplied as float32: the same product,
at the speed of float32.
"""

import time
from functools import cache
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int8
from torch import Tensor, nn
from torch.nn.functional import linear

from polyclip.core.encode_precision import BF16, INT8
from polyclip.core.matmul import find_operations
from polyclip.core.threads import is_first_faster

SIDE = 256  # of the square matrices that tell which format is faster
LARGEST = 127.0  # of int8, as rounded here
TURNS = 7  # of which the fastest counts: the first one prepares oneDNN


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
        self.dtype = torch.bfloat16 if is_worthwhile(torch.bfloat16) else torch.float32  # in which it is multiplied
        rounded, self.bias = weight.bfloat16().to(self.dtype), bias.bfloat16().to(self.dtype)
        ordered = order_weight(rounded) if self.dtype == torch.bfloat16 else None
        self.weight, self.is_ordered = (rounded, False) if ordered is None else (ordered, True)

    def __call__(self, rows: Tensor) -> Tensor:
        """Apply the map; the result is bf16."""
        if not self.is_ordered:
            return linear(rows.bfloat16().to(self.dtype), self.weight, self.bias).bfloat16()
        found: Tensor = torch.ops.mkldnn._linear_pointwise(rows.bfloat16(), self.weight, self.bias, "none", [], "")
        return found

    def add_to(self, hidden: Tensor, rows: Tensor) -> Tensor:
        """Add the map of `rows` to `hidden`."""
        return hidden + self(rows)


def order_weight(weight: Tensor) -> Tensor | None:
    """A weight in bf16 in the order in which oneDNN reads it, which is otherwise made for each product; None: there is
    none here.
    """
    operations = find_operations("_linear_pointwise", "_reorder_linear_weight", "_is_mkldnn_bf16_supported")
    if operations is None or not operations._is_mkldnn_bf16_supported():
        return None
    ordered: Tensor = operations._reorder_linear_weight(weight)
    return ordered


class Int8Product:
    """A product with weights in int8 with a scale for each output, inputs in int8 with a scale for each row."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self.dtype = torch.int8 if is_worthwhile(torch.int8) else torch.float32  # in which it is multiplied
        rounded, scales = round_rows(weight.detach().float())
        self.weight, self.scales, self.bias = rounded.to(self.dtype).t(), scales.t(), bias.detach()

    def __call__(self, rows: Tensor) -> Tensor:
        """Apply the map to some rows."""
        flat, scales = round_rows(rows.reshape(-1, rows.shape[-1]).float())
        out = multiply(flat.to(self.dtype), self.weight).float().mul_(scales).mul_(self.scales).add_(self.bias)
        return out.view(*rows.shape[:-1], -1)

    def add_to(self, hidden: Tensor, rows: Tensor) -> Tensor:
        """Add the map of `rows` to `hidden`."""
        return self(rows).add_(hidden)


def round_rows(values: Float[Tensor, "row width"]) -> tuple[Tensor, Tensor]:
    """Round each row to whole numbers from -127 to 127 by a scale of its own; the scales are [row, 1]."""
    scales = values.abs().amax(1, keepdim=True).clamp_(min=1e-12) / LARGEST
    return (values / scales).round_(), scales


def multiply(first: Tensor, second: Tensor) -> Tensor:
    """Multiply two matrices of one type; the product of int8 is int32.

    As float32, whole numbers up to 127 have exact sums over 1,040 products; over more the error is one in 16 million.
    """
    return torch._int_mm(first, second) if first.dtype == torch.int8 else first @ second


@cache
def is_worthwhile(dtype: torch.dtype) -> bool:
    """Whether this CPU multiplies a type rightly, and faster than float32; measured once, in half a second.

    Without instructions for it, bf16 took 8 times as long as float32 on an AVX2 processor, int8 25 times.
    """
    if not is_right(dtype):
        return False
    one = torch.ones(SIDE, SIDE)
    return is_first_faster(measure_seconds, one.to(dtype), one, TURNS)


def is_right(dtype: torch.dtype) -> bool:
    """Whether sums of the largest numbers are right; without VNNI, oneDNN's int8 products stop at 32,767."""
    largest = torch.full((SIDE, SIDE), LARGEST)
    signs = (largest, -largest)
    return all(
        torch.allclose(multiply(first.to(dtype), second.to(dtype)).float(), first @ second, rtol=0.01)
        for first in signs
        for second in signs
    )


def measure_seconds(matrix: Float[Tensor, "side side"] | Int8[Tensor, "side side"]) -> float:
    """Seconds on the clock that a matrix's product with itself takes."""
    started = time.perf_counter()
    multiply(matrix, matrix)
    return time.perf_counter() - started


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

    Convolutions are left as they are: an encoder whose convolutions bear it rounds them itself
    (`polyclip.models.backbone.FusedForCpu`).

    Args:
        encoder: In eval mode, on a CPU.
        precision: `bf16` or `int8`.

    """
    for module in list(encoder.modules()):
        for name, child in list(module.named_children()):
            if type(child) is nn.Linear:
                setattr(module, name, RoundedLinear(child, precision))
