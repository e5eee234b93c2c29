"""A trained side as what other libraries have: a tower of plain weights, and one linear map."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from polyclip.components.adapter import Adapter, MapAdapter
from polyclip.components.deep import MapLayer, TokenLayer
from polyclip.components.head import Head, Pass
from polyclip.components.low_rank import low_rank
from polyclip.components.unlock import biases, everything, norms
from polyclip.errors import RunError
from polyclip.method import Method
from polyclip.plugins import find, names
from polyclip.side import Side

IN_PLACE = (norms, biases, everything, low_rank)  # parts that leave a tower's shape as it is, once they are merged
OWN = (Adapter, MapAdapter, TokenLayer, MapLayer)  # layers that no other library has
EVERY = "--to onnx takes every method"


@dataclass(frozen=True)
class Affine:
    """weight x + bias, in float64."""

    weight: Float[Tensor, "dim width"]
    bias: Float[Tensor, " dim"]


def mergeable(method: Method) -> bool:
    """Whether all that a method trains can be expressed by plain weights and one linear map a side."""
    return not (method.gated or method.relative or method.members > 1) and all(part in IN_PLACE for part in (*method.text, *method.vision))


def instead() -> str:
    """What to do where something cannot be expressed."""
    return f"Methods that can: {', '.join(name for name in names('methods') if mergeable(find('methods', name).METHOD))}; {EVERY}."


def affine(side: Side, target: str) -> Affine:
    """The head of a side as one map; means and deviations of its features are folded in.

    Raises RunError for a head that is not linear.
    """
    head = side.head
    if isinstance(head, Pass):
        return Affine(torch.eye(side.tower.dim, dtype=torch.float64), torch.zeros(side.tower.dim, dtype=torch.float64))
    if not isinstance(head, Head) or len(head.members) > 1 or head.members[0].branch is not None:
        kind = "compares with training pairs" if not isinstance(head, Head) else "has a gated branch or several members"
        raise RunError(f"{target} knows linear heads only, and the {side.kind} head of this run {kind}. {instead()}")
    linear: Any = head.members[0].linear
    weight = linear.weight.detach().double() / head.deviation.double()
    return Affine(weight, linear.bias.detach().double() - weight @ head.mean.double())


def plain(side: Side, target: str) -> Any:
    """The side's tower (an Encoder), low-rank updates merged into the weights that they update.

    Raises RunError where the method put layers of its own into it.
    """
    encoder = side.built()
    if any(isinstance(module, OWN) for module in encoder.modules()):
        raise RunError(f"{target} has no place for the layers that this run's method put into the {side.kind} tower. {instead()}")
    merge_low_rank(encoder)
    return encoder.requires_grad_(False).eval()


def merge_low_rank(encoder: nn.Module) -> None:
    """Add B A to each weight that has such an update, and take the update out."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    wrapped = [(path, module) for path, module in encoder.named_modules() if isinstance(module, BaseTunerLayer)]
    for path, module in wrapped:
        module.merge(safe_merge=True)
        parent, _, name = path.rpartition(".")
        setattr(encoder.get_submodule(parent), name, module.get_base_layer())


def without_bias(map_: Affine, norm: nn.LayerNorm) -> Float[Tensor, "dim width"]:
    """A weight that alone does what `map_` does to vectors, or means of vectors, that leave `norm`; the norm's bias is moved for it.

    What a LayerNorm gives, gain * n + shift, has mean(n) = 0. So v = 1 / gain gives v.x = k for every x, with k = sum(shift / gain), and a
    constant b is b v^T / k applied to x. The shift is first moved along v, so that k is no small difference of large numbers.
    """
    gain, shift = norm.weight.detach().double(), norm.bias.detach().double().clone()  # the bias is about to move
    normal = 1 / gain
    k = (shift * normal).sum()
    usual = (gain.square().sum() + shift.square().sum()).sqrt()  # length of a vector that leaves the norm
    step = torch.where(k < 0, -1.0, 1.0) * usual * normal.norm()
    moved = normal * step / normal.norm().square()
    with torch.no_grad():
        norm.bias.add_(moved.to(norm.bias.dtype))
    rest = map_.bias - map_.weight @ (norm.bias.detach().double() - shift)
    k = (norm.bias.detach().double() * normal).sum()
    return map_.weight + rest[:, None] * normal[None] / k


def closing_norm(encoder: Any) -> nn.LayerNorm | None:
    """The LayerNorm that a tower's tokens leave last; None where it has none."""
    trunk = encoder.trunk
    last = trunk.final_norm
    if last is None and len(trunk.layers):
        last = getattr(getattr(trunk.layers[-1], "output", None), "LayerNorm", None)
    return last if isinstance(last, nn.LayerNorm) and last.bias is not None and bool((last.weight != 0).all()) else None
