"""A trained side as what other libraries have: a tower of plain weights, and one linear map."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from polyclip.core.registry import find, names
from polyclip.errors import RunError
from polyclip.models.branch import Branch
from polyclip.models.components.adapter import Adapter, MapAdapter
from polyclip.models.components.deep_adapter import MapLayer, TokenLayer
from polyclip.models.components.heads import Head, Pass
from polyclip.models.components.joint_head import ClassRows, JointHead, NameUnits
from polyclip.models.components.lora import low_rank
from polyclip.models.components.unfreeze import biases, everything, norms
from polyclip.models.method import Method

IN_PLACE = (norms, biases, everything, low_rank)  # parts that leave a tower's shape as it is, once they are merged
OWN = (Adapter, MapAdapter, TokenLayer, MapLayer)  # layers that no other library has
EVERY = "--to onnx takes every method"
STRAIGHT = 100.0  # GELU(x + 100) - 100 is x, where x is no smaller than -94


@dataclass(frozen=True)
class Affine:
    """weight x + bias, in float64."""

    weight: Float[Tensor, "dim width"]
    bias: Float[Tensor, " dim"]


@dataclass(frozen=True)
class Layers:
    """outer(GELU(inner(x))), in float64."""

    inner: Affine
    outer: Affine


def mergeable(method: Method) -> bool:
    """Whether all that a method trains can be expressed by plain weights, one linear map of images, and one map or Linear-GELU-Linear of captions."""
    joined = method.members == 1 or bool(method.hidden)
    return (
        joined
        and not (method.gated or method.relative)
        and all(part in IN_PLACE for part in (*method.text, *method.vision))
    )


def instead() -> str:
    """What to do where something cannot be expressed."""
    return f"Methods that can: {', '.join(name for name in names('methods') if mergeable(find('methods', name).METHOD))}; {EVERY}."


def affine(side: Branch, target: str) -> Affine:
    """The head of a side as one map; means and deviations of its features are folded in.

    Raises RunError for a head that is not linear.
    """
    head = side.head
    if isinstance(head, Pass):
        return Affine(torch.eye(side.tower.dim, dtype=torch.float64), torch.zeros(side.tower.dim, dtype=torch.float64))
    if isinstance(head, JointHead):
        return joint_affine(head, side.kind, target)
    if not isinstance(head, Head) or len(head.members) > 1 or head.members[0].branch is not None:
        kind = "compares with training pairs" if not isinstance(head, Head) else "has a gated branch or several members"
        raise RunError(f"{target} knows linear heads only, and the {side.kind} head of this run {kind}. {instead()}")
    linear: Any = head.members[0].linear
    weight = linear.weight.detach().double() / head.deviation.double()
    return Affine(weight, linear.bias.detach().double() - weight @ head.mean.double())


def joint_affine(head: JointHead, kind: str, target: str) -> Affine:
    """A joint head of linear members and class rows as one map.

    Raises RunError where a member is not linear.
    """
    weights, deviation = head.weights().double(), head.deviation.double()
    maps = []
    for member, weight in zip(head.members, weights, strict=False):
        refuse_gate(member, kind, target)
        own: Any = member
        maps.append((weight * own.linear.weight.double() / deviation, weight * own.linear.bias.double()))
    if isinstance(head.names, ClassRows):
        rows = weights[-1] * head.names.weight.double()
        maps.append((rows, torch.zeros(len(rows), dtype=torch.float64)))
    weight, bias = torch.cat([part for part, _ in maps]), torch.cat([part for _, part in maps])
    turned = folded(head)
    weight, bias = turned.T @ weight, turned.T @ bias
    return Affine(weight.detach(), (bias - weight @ head.mean.double()).detach())


def layers(side: Branch, target: str) -> Layers | None:
    """The joint head of captions as two maps with GELU between them; None for a head that is one map.

    Raises RunError for a member with a gated branch.
    """
    head = side.head
    if not isinstance(head, JointHead) or (head.names is None and all(member.inner is None for member in head.members)):
        return None
    return joint_layers(head, side.kind, target)


def joint_layers(head: JointHead, kind: str, target: str) -> Layers:
    """Members and name units as hidden units side by side. A linear member goes through GELU far from zero, where it is a straight line.

    Raises RunError for a member with a gated branch.
    """
    weights, deviation, mean = head.weights().double(), head.deviation.double(), head.mean.double()
    inner, inner_bias, outer, outer_bias = [], [], [], []
    for member, weight in zip(head.members, weights, strict=False):
        refuse_gate(member, kind, target)
        own: Any = member
        if own.inner is None:
            first, shift = own.linear.weight.double() / deviation, own.linear.bias.double()
            second = weight * torch.eye(len(first), dtype=torch.float64)
            inner_bias.append(shift - first @ mean + STRAIGHT)
            outer_bias.append(second.sum(1) * -STRAIGHT)
        else:
            first, shift = own.inner.weight.double() / deviation, own.inner.bias.double()
            second = weight * own.linear.weight.double()
            inner_bias.append(shift - first @ mean)
            outer_bias.append(weight * own.linear.bias.double())
        inner.append(first)
        outer.append(second)
    if isinstance(head.names, NameUnits):
        inner.append(head.names.inner.double())
        inner_bias.append(head.names.inner_bias.double())
        outer.append(weights[-1] * head.names.outer.double())
        outer_bias.append(torch.zeros(head.names.dim, dtype=torch.float64))
    turned = folded(head)
    second = turned.T @ torch.block_diag(*outer)
    return Layers(
        Affine(torch.cat(inner).detach(), torch.cat(inner_bias).detach()),
        Affine(second.detach(), (turned.T @ torch.cat(outer_bias)).detach()),
    )


def folded(head: JointHead) -> Float[Tensor, "total dim"]:
    """What the parts' vectors are multiplied by at the end."""
    return head.space.double() if head.space.any() else torch.eye(len(head.space), dtype=torch.float64)


def refuse_gate(member: Any, kind: str, target: str) -> None:
    """Raises RunError for a member with a gated branch."""
    if member.branch is not None:
        raise RunError(
            f"{target} knows linear layers and GELU, and the {kind} head of this run has a gated branch. {instead()}"
        )


def plain(side: Branch, target: str) -> Any:
    """The side's tower (an Encoder), low-rank updates merged into the weights that they update.

    Raises RunError where the method put layers of its own into it.
    """
    encoder = side.built()
    if any(isinstance(module, OWN) for module in encoder.modules()):
        raise RunError(
            f"{target} has no place for the layers that this run's method put into the {side.kind} tower. {instead()}"
        )
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
