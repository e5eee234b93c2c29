"""Encoders sharded over processes (fully sharded data parallel, Zhao et al. 2023, arXiv 2304.11277), by torch's
`fully_shard`.

Each process keeps its shard of the trained encoders' weights, gradients and optimizer state, and holds one layer whole
at a time. A copy of the model is sharded: the model itself stays whole on the CPU, where validation, checkpoints and
files read it, and receives the trained weights after each epoch. Heads and the logit scale are small; every process has
all of them.
"""

import copy
import math
from collections.abc import Collection, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from polyclip.core import distributed
from polyclip.models.trunk.trainable_rows import get_embedding_matrix


def shard_model(aligner: Any, device: torch.device) -> Any:
    """Copy a model to this process's device, with its trained encoders sharded over all processes."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard  # half a second, which a search would wait for

    model = copy.deepcopy(aligner)
    mesh = init_device_mesh(device.type, (distributed.get_world_size(),))
    for unit in list_units(model):
        single = {parameter for parameter in unit.parameters() if parameter.ndim == 0}  # a number cannot be divided
        fully_shard(unit, mesh=mesh, reshard_after_forward=True, ignored_params=single)
    return model.to(device)


def is_sharded(model: nn.Module) -> bool:
    """Whether a model is such a copy."""
    return any(map(is_shard, model.parameters()))


def is_shard(tensor: Any) -> bool:
    """Whether each process holds a part of this tensor (torch's DTensor)."""
    return hasattr(tensor, "full_tensor")


def list_units(model: Any) -> Iterator[nn.Module]:
    """Yield modules that are gathered one at a time: layers and embedding matrices; an encoder of unknown family as a
    whole.
    """
    for encoder in (branch.encoder for branch in (model.text, model.vision) if branch.encoder is not None):
        yield from encoder.trunk.layers or [encoder.trunk.model]
        table = get_embedding_matrix(encoder) if encoder.trunk.layers else None
        if table is not None:
            yield table


def gather_tensor(tensor: Any) -> Tensor:
    """Gather a whole tensor on the CPU, if it is sharded; all processes call it together."""
    return tensor.full_tensor().cpu() if is_shard(tensor) else tensor


def take_shard(tensor: Tensor, like: Any) -> Tensor:
    """Take this process's shard of a whole tensor, if `like` is sharded."""
    if not is_shard(like):
        return tensor
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(tensor.to(like.device), like.device_mesh, like.placements, src_data_rank=None)


@torch.no_grad()
def collect_parameters(model: Any, aligner: Any, names: Collection[str]) -> None:
    """Copy the trained parameters of these names from the sharded copy into the model."""
    own = dict(aligner.named_parameters())
    for name, parameter in model.named_parameters():
        if name in names:
            own[name].copy_(gather_tensor(parameter.detach()))


@torch.no_grad()
def average_gradients(model: nn.Module) -> None:
    """Average over processes the gradients that `fully_shard` leaves alone: of parameters that are not sharded."""
    for parameter in model.parameters():
        if parameter.grad is not None and not is_shard(parameter.grad):
            parameter.grad.copy_(distributed.sum_over_processes(parameter.grad) / distributed.get_world_size())


@torch.no_grad()
def clip_gradient_norm(parameters: Iterable[nn.Parameter], limit: float) -> None:
    """Scale gradients so that their norm over all processes and parameters is at most `limit`."""
    gradients: list[Any] = [parameter.grad for parameter in parameters if parameter.grad is not None]
    shares = [gradient.to_local() for gradient in gradients if is_shard(gradient)]
    own = [gradient for gradient in gradients if not is_shard(gradient)]
    squared = distributed.sum_over_processes(sum_squares(shares)) + sum_squares(own)
    factor = min(1.0, limit / (math.sqrt(squared.item()) + 1e-6))  # as torch.nn.utils.clip_grad_norm_
    for gradient in (*shares, *own):
        gradient.mul_(factor)


def sum_squares(tensors: list[Tensor]) -> Tensor:
    """Sum of the squares of all values."""
    return torch.stack([torch.zeros(()), *(tensor.float().square().sum().cpu() for tensor in tensors)]).sum()
