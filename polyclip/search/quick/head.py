"""A text projection head in numpy: `JointHead` and `Head` of `polyclip.models.components`, of linear maps."""

import re
from typing import Any

import numpy as np

from polyclip.search.quick.encoder import Array, gelu

NAMES_WEIGHT = 0.5  # as in polyclip.models.components.joint_head; a test compares the results
KNOWN = re.compile(
    r"(mean|deviation|spread|lengths|space|names\.(inner|inner_bias|outer)"
    r"|members\.\d+\.(inner|linear)\.(weight|bias))$"
)


def can_apply(head: dict[str, Array]) -> bool:
    """Whether all tensors of a head are of parts that `apply` knows."""
    return "members.0.linear.weight" in head and all(KNOWN.match(name) for name in head)


def apply(head: dict[str, Array], features: Array) -> Array:
    """Embed features in the shared space.

    Args:
        head: The head's tensors by name, without the branch's name.
        features: Of the text encoder, [width].

    Returns:
        A unit vector [dim].

    """
    centred = features - head["mean"]
    standard = centred / head["deviation"]
    numbers = sorted({int(name.split(".")[1]) for name in head if name.startswith("members.")})
    parts = [project(head, f"members.{number}.", standard) for number in numbers]
    if "space" not in head:
        return unit(np.concatenate([unit(part) for part in parts]))
    weights = [1.0] * len(parts)
    if "names.inner" in head:
        names = gelu(head["names.inner"] @ features + head["names.inner_bias"])
        parts.append(head["names.outer"] @ names)
        weights.append(NAMES_WEIGHT * len(numbers))
    scales = np.sqrt(np.array(weights)) / head["lengths"]
    joined = np.concatenate([part * scale for part, scale in zip(parts, scales, strict=True)])
    return unit(joined @ head["space"] if head["space"].any() else joined)


def project(head: dict[str, Array], name: str, standard: Array) -> Array:
    """One member's projection, not normalized."""
    if f"{name}inner.weight" in head:
        standard = gelu(head[f"{name}inner.weight"] @ standard + head[f"{name}inner.bias"])
    return head[f"{name}linear.weight"] @ standard + head[f"{name}linear.bias"]


def unit(values: Any) -> Array:
    """The vector at length 1."""
    return (values / max(float(np.linalg.norm(values)), 1e-12)).astype(np.float32)
