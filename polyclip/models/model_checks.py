"""Check that a state fits a model, and that the model can tell captions and images apart, before it answers."""

import torch
from torch import Tensor

from polyclip.core.vectors import normalize
from polyclip.errors import WeightsError
from polyclip.models.branch import Branch
from polyclip.models.components.heads import ProjectionHead

PROBES = 8
SAME = 1e-5  # 1 - cosine below which two embeddings are the same
AGAIN = "The run diverged or its file is damaged: align again, with a lower learning rate if it happens twice."


def check_finite(state: dict[str, Tensor], where: str) -> None:
    """Check that no tensor holds NaN or Inf.

    Raises:
        WeightsError: One does; it is named.

    """
    for name, tensor in state.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            count = int((~tensor.isfinite()).sum())
            raise WeightsError(f"{where}: {count} of {tensor.numel()} values of {name} are NaN or infinite. {AGAIN}")


def check_state(own: dict[str, Tensor], given: dict[str, Tensor], method: str, where: str) -> None:
    """Check that a state has the tensors of a model, in their shapes.

    Args:
        own: The model's tensors by name.
        given: What is to take their place.
        method: The model's method, for messages.
        where: Where the state comes from, for messages.

    Raises:
        WeightsError: A tensor is missing, unexpected or of another shape; the first is named.

    """
    shapes = [
        f"{name} is {list(given[name].shape)}, expected {list(tensor.shape)}"
        for name, tensor in own.items()
        if name in given and given[name].shape != tensor.shape
    ]
    for problem, found in (
        ("lacks tensor", sorted(own.keys() - given.keys())),
        ("has unexpected tensor", sorted(given.keys() - own.keys())),
        ("has a tensor of another shape:", shapes),
    ):
        if found:
            more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
            raise WeightsError(
                f"{where} {problem} {found[0]}{more}; it was not made by method {method} on these encoders."
            )


@torch.inference_mode()
def check_head(branch: Branch, where: str) -> None:
    """Check that a head maps different features to different embeddings.

    Args:
        branch: The branch, on the CPU.
        where: The model's folder, for messages.

    Raises:
        WeightsError: All embeddings are zero, not finite, or the same.

    """
    head: ProjectionHead = branch.head
    width = branch.tower.dim
    noise = torch.randn(PROBES, width, generator=torch.Generator().manual_seed(0))
    mean, deviation = head.get_statistics(width)
    found = head(mean + deviation * noise)
    kind = {"text": "captions", "vision": "images"}[branch.kind]
    if not found.isfinite().all() or not found.any(dim=1).all():
        raise WeightsError(f"{where}: its {branch.kind} head gives {kind} no embeddings but zeros or NaN. {AGAIN}")
    unit = normalize(found)
    if (unit @ unit.T).min() > 1 - SAME:
        raise WeightsError(f"{where}: its {branch.kind} head gives all {kind} the same embedding (collapse). {AGAIN}")
