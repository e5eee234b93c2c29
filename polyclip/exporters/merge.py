"""Merge a trained branch into what other libraries support: an encoder with plain weights and one linear map."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from polyclip.core.registry import find, list_names
from polyclip.errors import RunError
from polyclip.models.branch import Branch
from polyclip.models.components.adapter import Adapter, ConvAdapter
from polyclip.models.components.deep_adapter import ConvLayer, TokenLayer
from polyclip.models.components.heads import Head, IdentityHead
from polyclip.models.components.joint_head import ClassRows, JointHead, NameUnits
from polyclip.models.components.lora import add_lora
from polyclip.models.components.unfreeze import unfreeze_all, unfreeze_biases, unfreeze_norms
from polyclip.models.method import Method
from polyclip.models.modules import find_module

IN_PLACE = (
    unfreeze_norms,
    unfreeze_biases,
    unfreeze_all,
    add_lora,
)  # parts that keep the encoder's architecture once they are merged
OWN = (Adapter, ConvAdapter, TokenLayer, ConvLayer)  # layers that other libraries do not support
EVERY = "--to onnx takes every method"
STRAIGHT = 100.0  # GELU(x + 100) - 100 is x, where x is no smaller than -94


@dataclass(frozen=True)
class Affine:
    """The map weight x + bias, in float64."""

    weight: Float[Tensor, "dim width"]
    bias: Float[Tensor, " dim"]


@dataclass(frozen=True)
class Layers:
    """The map outer(GELU(inner(x))), in float64."""

    inner: Affine
    outer: Affine


def find_obstacles(method: Method, kind: str) -> list[str]:
    """List what a method puts into a branch that does not reduce to plain weights and one map.

    That map is linear for images, linear or Linear-GELU-Linear for captions.

    Args:
        method: The method.
        kind: `text` or `vision`.

    Returns:
        Phrases such as "a gated branch in its heads"; empty where there is nothing.

    """
    joined = method.members == 1 or bool(method.hidden)
    found = {
        "heads that compare with training pairs": method.relative,
        "heads with a gated branch": method.gated,
        "several heads that join into no map": not (joined or method.gated),
        f"layers added to the {kind} encoder": any(part not in IN_PLACE for part in method.get_parts(kind)),
    }
    return [phrase for phrase, present in found.items() if present]


def is_mergeable(method: Method) -> bool:
    """Whether a method's trained parts reduce to plain weights, one linear map of images and one map or
    Linear-GELU-Linear of captions.
    """
    return not (find_obstacles(method, "text") or find_obstacles(method, "vision"))


def suggest_methods() -> str:
    """Return a sentence that lists methods and targets that work."""
    return (
        "Methods that can: "
        f"{', '.join(name for name in list_names('methods') if is_mergeable(find('methods', name).METHOD))}; {EVERY}."
    )


def compute_affine(branch: Branch, target: str) -> Affine:
    """Reduce the head of a branch to one affine map, with feature means and deviations folded in.

    Args:
        branch: The branch.
        target: Name of the export target, for messages.

    Returns:
        The map.

    Raises:
        RunError: The head is not linear.

    """
    head = branch.head
    if isinstance(head, IdentityHead):
        return Affine(
            torch.eye(branch.tower.dim, dtype=torch.float64), torch.zeros(branch.tower.dim, dtype=torch.float64)
        )
    if isinstance(head, JointHead):
        return compute_joint_affine(head, branch.kind, target)
    if not isinstance(head, Head) or len(head.members) > 1 or head.members[0].branch is not None:
        kind = "compares with training pairs" if not isinstance(head, Head) else "has a gated branch or several members"
        raise RunError(
            f"{target} supports linear heads only, but the {branch.kind} head of this run {kind}. {suggest_methods()}"
        )
    linear: Any = head.members[0].linear
    weight = linear.weight.detach().double() / head.deviation.double()
    return Affine(weight, linear.bias.detach().double() - weight @ head.mean.double())


def compute_joint_affine(head: JointHead, kind: str, target: str) -> Affine:
    """Reduce a joint head of linear members and class rows to one affine map.

    Raises:
        RunError: A member is not linear.

    """
    weights, deviation = head.compute_weights().double(), head.deviation.double()
    maps = []
    for member, weight in zip(head.members, weights, strict=False):
        refuse_gate(member, kind, target)
        own: Any = member
        maps.append((weight * own.linear.weight.double() / deviation, weight * own.linear.bias.double()))
    if isinstance(head.names, ClassRows):
        rows = weights[-1] * head.names.weight.double()
        maps.append((rows, torch.zeros(len(rows), dtype=torch.float64)))
    weight, bias = torch.cat([part for part, _ in maps]), torch.cat([part for _, part in maps])
    turned = compute_output_projection(head)
    weight, bias = turned.T @ weight, turned.T @ bias
    return Affine(weight.detach(), (bias - weight @ head.mean.double()).detach())


def compute_layers(branch: Branch, target: str) -> Layers | None:
    """Reduce the joint head of captions to Linear-GELU-Linear; None for a head that is one affine map.

    Args:
        branch: The branch.
        target: Name of the export target, for messages.

    Returns:
        Both maps, or None.

    Raises:
        RunError: A member has a gated branch.

    """
    head = branch.head
    if not isinstance(head, JointHead) or (head.names is None and all(member.inner is None for member in head.members)):
        return None
    return compute_joint_layers(head, branch.kind, target)


def compute_joint_layers(head: JointHead, kind: str, target: str) -> Layers:
    """Stack members and name units as hidden units; a linear member passes through GELU far from zero, where it is a
    straight line.

    Raises:
        RunError: A member has a gated branch.

    """
    weights, deviation, mean = head.compute_weights().double(), head.deviation.double(), head.mean.double()
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
    turned = compute_output_projection(head)
    second = turned.T @ torch.block_diag(*outer)
    return Layers(
        Affine(torch.cat(inner).detach(), torch.cat(inner_bias).detach()),
        Affine(second.detach(), (turned.T @ torch.cat(outer_bias)).detach()),
    )


def compute_output_projection(head: JointHead) -> Float[Tensor, "total dim"]:
    """Return the matrix that the concatenated members are multiplied by."""
    return head.space.double() if head.space.any() else torch.eye(len(head.space), dtype=torch.float64)


def refuse_gate(member: Any, kind: str, target: str) -> None:
    """Check that a member has no gated branch.

    Raises:
        RunError: It has one.

    """
    if member.branch is not None:
        raise RunError(
            f"{target} supports linear layers and GELU only, but the {kind} head of this run has a gated branch. "
            f"{suggest_methods()}"
        )


def build_plain_encoder(branch: Branch, target: str) -> Any:
    """Build the branch's encoder with low-rank updates merged into its weights.

    Args:
        branch: The branch.
        target: Name of the export target, for messages.

    Returns:
        The encoder, frozen and in evaluation mode.

    Raises:
        RunError: The method added layers of its own.

    """
    encoder = branch.get_encoder()
    if any(isinstance(module, OWN) for module in encoder.modules()):
        raise RunError(
            f"{target} does not support the layers that this run's method added to the {branch.kind} tower. "
            f"{suggest_methods()}"
        )
    merge_low_rank(encoder)
    return encoder.requires_grad_(False).eval()


def merge_low_rank(encoder: nn.Module) -> None:
    """Add the LoRA update B A to each weight and remove it."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    wrapped = [(path, module) for path, module in encoder.named_modules() if isinstance(module, BaseTunerLayer)]
    for path, module in wrapped:
        module.merge(safe_merge=True)
        parent, _, name = path.rpartition(".")
        setattr(encoder.get_submodule(parent), name, module.get_base_layer())


def fold_bias(map_: Affine, norm: nn.LayerNorm) -> Float[Tensor, "dim width"]:
    """Return a weight that alone acts like `map_` on outputs, or means of outputs, of `norm`; the norm's bias is
    shifted for it.

    A LayerNorm's output gain * n + shift has mean(n) = 0. So v = 1 / gain gives v.x = k for every x, with k = sum(shift
    / gain), and a
    constant b is b v^T / k applied to x. The shift is first moved along v, so that k is not a small difference of large
    numbers.
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


def find_final_norm(encoder: Any) -> nn.LayerNorm | None:
    """Return the last LayerNorm of an encoder's tokens; None where there is none."""
    trunk = encoder.trunk
    last = trunk.final_norm
    if last is None and len(trunk.layers):
        last = find_module(trunk.layers[-1], "output.LayerNorm")
    return last if isinstance(last, nn.LayerNorm) and last.bias is not None and bool((last.weight != 0).all()) else None
