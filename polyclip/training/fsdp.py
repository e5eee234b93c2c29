"""Towers divided among processes (fully sharded data parallel, Zhao et al. 2023, arXiv 2304.11277), by torch's `fully_shard`.

Each process keeps its share of the live towers' weights, gradients and moments, and holds one layer whole at a time. What is divided is a copy:
the aligner itself stays whole on the CPU, where validation, checkpoints and files find it, and is given what was trained after each epoch.
Heads and the logit scale are small; every process has all of them.
"""

import copy
import math
from collections.abc import Collection, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from polyclip.core import distributed
from polyclip.models.trunk.trainable_rows import table_of


def divided(aligner: Any, device: torch.device) -> Any:
    """A copy of an aligner on the device of this process, its live towers divided among all processes."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard  # half a second, which a search would wait for

    model = copy.deepcopy(aligner)
    mesh = init_device_mesh(device.type, (distributed.count(),))
    for unit in units(model):
        single = {parameter for parameter in unit.parameters() if parameter.ndim == 0}  # a number cannot be divided
        fully_shard(unit, mesh=mesh, reshard_after_forward=True, ignored_params=single)
    return model.to(device)


def is_divided(model: nn.Module) -> bool:
    """Whether it is such a copy."""
    return any(map(is_share, model.parameters()))


def is_share(tensor: Any) -> bool:
    """Whether of a tensor each process holds a part: torch's DTensor."""
    return hasattr(tensor, "full_tensor")


def units(model: Any) -> Iterator[nn.Module]:
    """Modules that are whole one at a time: layers of live towers and token tables; of a tower whose layers are not known, all of it."""
    for encoder in (side.encoder for side in (model.text, model.vision) if side.encoder is not None):
        yield from encoder.trunk.layers or [encoder.trunk.model]
        table = table_of(encoder) if encoder.trunk.layers else None
        if table is not None:
            yield table


def whole(tensor: Any) -> Tensor:
    """All of a tensor, on the CPU where it was divided; all processes ask for it together."""
    return tensor.full_tensor().cpu() if is_share(tensor) else tensor


def portion(tensor: Tensor, like: Any) -> Tensor:
    """A whole tensor in the form of `like`: this process' share of it where that is divided."""
    if not is_share(like):
        return tensor
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(tensor.to(like.device), like.device_mesh, like.placements, src_data_rank=None)


@torch.no_grad()
def collect(model: Any, aligner: Any, names: Collection[str]) -> None:
    """Give the aligner what was trained in its divided copy: the parameters of these names."""
    own = dict(aligner.named_parameters())
    for name, parameter in model.named_parameters():
        if name in names:
            own[name].copy_(whole(parameter.detach()))


@torch.no_grad()
def average(model: nn.Module) -> None:
    """Mean over all processes of the gradients that `fully_shard` leaves alone: those of what each process has whole."""
    for parameter in model.parameters():
        if parameter.grad is not None and not is_share(parameter.grad):
            parameter.grad.copy_(distributed.summed(parameter.grad) / distributed.count())


@torch.no_grad()
def clip(parameters: Iterable[nn.Parameter], limit: float) -> None:
    """Scale gradients so that their norm over all processes and parameters is at most `limit`."""
    gradients: list[Any] = [parameter.grad for parameter in parameters if parameter.grad is not None]
    shares = [gradient.to_local() for gradient in gradients if is_share(gradient)]
    own = [gradient for gradient in gradients if not is_share(gradient)]
    squared = distributed.summed(squares(shares)) + squares(own)
    factor = min(1.0, limit / (math.sqrt(squared.item()) + 1e-6))  # as torch.nn.utils.clip_grad_norm_
    for gradient in (*shares, *own):
        gradient.mul_(factor)


def squares(tensors: list[Tensor]) -> Tensor:
    """Sum of the squares of all values."""
    return torch.stack([torch.zeros(()), *(tensor.float().square().sum().cpu() for tensor in tensors)]).sum()
