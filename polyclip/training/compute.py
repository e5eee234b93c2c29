"""How steps are computed, which decides memory and speed but not what is learned: pairs held at once, precision of the towers, what processes divide."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.state import AcceleratorState
from torch.nn.parallel import DistributedDataParallel

from polyclip.core import distributed
from polyclip.errors import PolyclipError, UnknownName
from polyclip.training import fsdp

PRECISIONS = {"fp32": "no", "bf16": "bf16", "fp16": "fp16"}  # and what accelerate calls them
LAUNCHER = "ACCELERATE_MIXED_PRECISION"
DIVIDING = {"ACCELERATE_USE_FSDP": "FSDP", "ACCELERATE_USE_DEEPSPEED": "DeepSpeed"}


@dataclass(frozen=True, kw_only=True)
class Compute:
    """Weights, optimizer, similarities and losses are float32 in any precision."""

    micro_batch: int | None = None  # pairs a process holds at once in the method's own phase; None: all of its own
    precision: str = "fp32"
    shard: bool = False  # divide live towers among the processes; False: each process holds all of them


def check(compute: Compute) -> None:
    """Raises UnknownName for a precision that does not exist, PolyclipError for one that is not to be had here or that the launcher contradicts."""
    if compute.precision not in PRECISIONS:
        raise UnknownName("precision", compute.precision, PRECISIONS)
    if compute.precision == "fp16" and not torch.cuda.is_available():
        raise PolyclipError(
            "--precision fp16 needs a graphics processor, and torch finds none here: use bf16, which needs none, or fp32."
        )
    dividing = [name for variable, name in DIVIDING.items() if os.environ.get(variable, "").lower() in ("true", "1")]
    if dividing:
        raise PolyclipError(
            f"accelerate launch asks for {dividing[0]}: leave it out, and write --shard, with which polyclip divides the towers itself."
        )
    if compute.shard and not distributed.launched():
        raise PolyclipError(
            "--shard divides the towers among processes, and there is one: torchrun --nproc-per-node 2 -m polyclip align --shard ..."
        )
    if compute.shard and compute.precision == "fp16":
        raise PolyclipError(
            "--shard works with fp32 and bf16, not with fp16, whose gradient scaler would have to look at all shares: write --precision bf16."
        )
    asked = os.environ.get(LAUNCHER, "no")
    if asked not in ("no", PRECISIONS[compute.precision]):
        raise PolyclipError(
            f"accelerate launch asks for mixed precision {asked}, polyclip for {compute.precision}: write --precision {asked}, or make both equal."
        )


def accelerator(compute: Compute) -> Accelerator:
    """Devices, precision and gradients of several processes; fp16 comes with a gradient scaler.

    Raises what `check` raises.
    """
    check(compute)
    if AcceleratorState._shared_state and AcceleratorState().mixed_precision != PRECISIONS[compute.precision]:
        AcceleratorState._reset_state()  # accelerate keeps the first precision of a process for ever
    handlers = [
        DistributedDataParallelKwargs(find_unused_parameters=True)
    ]  # a tower may have parts that its vectors do not use
    return Accelerator(
        cpu=not torch.cuda.is_available(), mixed_precision=PRECISIONS[compute.precision], kwargs_handlers=handlers
    )


def prepare(accelerator: Accelerator, aligner: Any, trained: list[str], shard: bool = False) -> Any:
    """What is trained, on the device of this process: the aligner, whose gradients several processes average where they are of what is trained,
    or with `shard`, where one of its towers is trained, a copy that the processes divide.
    """
    if shard and any(".encoder." in name for name in trained):
        return accelerator.prepare_model(
            fsdp.divided(aligner, accelerator.device), evaluation_mode=True
        )  # without DistributedDataParallel
    names = [name for name, _ in (*aligner.named_parameters(), *aligner.named_buffers())]
    DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(aligner, sorted(set(names) - set(trained)))
    aligner._is_accelerate_prepared = (
        False  # in an earlier phase: accelerate would hand it back as it is, without processes and precision
    )
    return accelerator.prepare(aligner)


def settle(accelerator: Accelerator, model: Any, limit: float) -> None:
    """Before an update: average the gradients that are not yet averaged, and clip all of them."""
    if fsdp.is_divided(model):
        fsdp.average(model)
        fsdp.clip(model.parameters(), limit)
    else:
        accelerator.clip_grad_norm_([p for p in model.parameters() if p.grad is not None], limit)


def judged(
    accelerator: Accelerator, model: Any, aligner: Any, trained: list[str], validate: Callable[[], float]
) -> float:
    """What `validate` says of the aligner as it now is; one whose copy is trained is whole on the device meanwhile."""
    if not fsdp.is_divided(model):
        return validate()
    fsdp.collect(model, aligner, set(trained))
    aligner.to(accelerator.device)
    value = validate()
    aligner.to("cpu")
    return value


def release(accelerator: Accelerator, model: Any, aligner: Any) -> None:
    """The aligner as it was before `prepare`: on the CPU, in float32."""
    accelerator.unwrap_model(model, keep_fp32_wrapper=False)
    aligner.to("cpu")
