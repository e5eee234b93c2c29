"""How steps are computed, which decides memory and speed but not the result: micro-batches, precision, sharding."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.state import AcceleratorState
from accelerate.utils import convert_to_fp32
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import clip_grad_norm_

from polyclip.core import distributed
from polyclip.core.device import current_device
from polyclip.core.encode_precision import BF16, current_encode_precision, has_bf16_hardware
from polyclip.core.environment import read_variable
from polyclip.core.launch import is_launched
from polyclip.core.progress import console
from polyclip.errors import PolyclipError, UnknownName
from polyclip.models.aligner import PolyCLIP
from polyclip.training import fsdp

AUTO = "auto"
PRECISIONS = {"fp32": "no", "bf16": "bf16", "fp16": "fp16"}  # and what accelerate calls them
LAUNCHER = "ACCELERATE_MIXED_PRECISION"
DIVIDING = {"ACCELERATE_USE_FSDP": "FSDP", "ACCELERATE_USE_DEEPSPEED": "DeepSpeed"}


@dataclass(frozen=True, kw_only=True)
class Compute:
    """Micro-batch, precision of encoders and heads, and sharding.

    Weights, optimizer and losses are float32 in any precision.
    """

    micro_batch: int | None = None  # pairs a process holds at once in the method's own phase; None: all of its own
    precision: str = "fp32"
    shard: bool = False  # shard trained encoders over the processes; False: each process holds all of them


def check_compute(compute: Compute) -> None:
    """Check that these settings work on this machine.

    Args:
        compute: Micro-batch, precision, sharding.

    Raises:
        UnknownName: The precision does not exist.
        PolyclipError: The precision is not available here or contradicts the launcher, or sharding needs more
            processes.

    """
    if compute.precision not in (AUTO, *PRECISIONS):
        raise UnknownName("precision", compute.precision, [AUTO, *PRECISIONS])
    if compute.precision == "fp16" and current_device().type != "cuda":
        raise PolyclipError(
            "--precision fp16 requires a GPU, and torch finds none here: use bf16, which needs none, or fp32."
        )
    dividing = [name for variable, name in DIVIDING.items() if read_variable(variable).lower() in ("true", "1")]
    if dividing:
        raise PolyclipError(
            f"accelerate launch asks for {dividing[0]}, which cannot be combined with polyclip: use --shard instead, "
            "with which polyclip shards the encoders itself."
        )
    if compute.shard and not is_launched():
        raise PolyclipError(
            "--shard shards the encoders over processes, and there is one: torchrun --nproc-per-node 2 -m polyclip "
            "align --shard ..."
        )
    if compute.shard and compute.precision == "fp16":
        raise PolyclipError(
            "--shard works with fp32 and bf16, not with fp16, whose gradient scaler would have to look at all "
            "shares: write --precision bf16."
        )
    asked = read_variable(LAUNCHER) or "no"
    if asked not in ("no", PRECISIONS.get(compute.precision)):
        raise PolyclipError(
            f"accelerate launch asks for mixed precision {asked}, polyclip for {compute.precision}: write "
            f"--precision {asked}, or make both equal."
        )


def warn_of_slow_precision(compute: Compute) -> None:
    """Print a line where bf16 was asked for on a CPU that has no instructions for it."""
    if compute.precision == BF16 and current_device().type == "cpu" and not has_bf16_hardware():
        console.print(
            "--precision bf16: this processor has no instructions for bf16, so that training in it takes several times "
            "as long as in fp32.",
            highlight=False,
            soft_wrap=True,
        )


def pick_precision(name: str, live: bool) -> str:
    """Resolve what a user wrote to the precision of one training phase.

    Args:
        name: `fp32`, `bf16`, `fp16` or `auto`: heads on cached features in bf16 on a CPU that multiplies it in hardware
            and encodes in it; all else in fp32.
        live: Whether an encoder runs in the phase.

    Returns:
        `fp32`, `bf16` or `fp16`.

    """
    if name != AUTO:
        return name
    in_hardware = current_device().type == "cpu" and has_bf16_hardware() and current_encode_precision() == BF16
    return "bf16" if in_hardware and not live else "fp32"


def create_accelerator(compute: Compute) -> Accelerator:
    """Set up devices, precision and gradient averaging; fp16 comes with a gradient scaler.

    Args:
        compute: Micro-batch, precision, sharding.

    Returns:
        accelerate's accelerator.

    Raises:
        UnknownName: The precision does not exist.
        PolyclipError: See `check_compute`.

    """
    check_compute(compute)
    device = current_device()
    if AcceleratorState._shared_state:
        state = AcceleratorState()
        if state.mixed_precision != PRECISIONS[compute.precision] or state.device.type != device.type:
            AcceleratorState._reset_state(
                reset_partial_state=distributed.get_world_size() == 1
            )  # it keeps the first ones for ever
    handlers = [
        DistributedDataParallelKwargs(find_unused_parameters=True)
    ]  # an encoder may have parameters that its features do not use
    with distributed.explain_launcher():
        return Accelerator(
            cpu=device.type == "cpu", mixed_precision=PRECISIONS[compute.precision], kwargs_handlers=handlers
        )


def prepare_model(accelerator: Accelerator, aligner: Any, trained: list[str], shard: bool = False) -> Any:
    """Put the model on this process's device.

    Args:
        accelerator: From `create_accelerator`.
        aligner: The model.
        trained: Names of the parameters to train, whose gradients are averaged over processes.
        shard: Divide encoders that are trained among the processes.

    Returns:
        The model, wrapped for several processes; with `shard` a sharded copy of it.

    """
    if shard and any(".encoder." in name for name in trained):
        return accelerator.prepare_model(
            fsdp.shard_model(aligner, accelerator.device), evaluation_mode=True
        )  # without DistributedDataParallel
    if accelerator.device.type == "cpu" and distributed.get_world_size() == 1:  # accelerate imports much for nothing
        return use_autocast(accelerator, aligner.to(accelerator.device))
    names = [name for name, _ in (*aligner.named_parameters(), *aligner.named_buffers())]
    DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(aligner, sorted(set(names) - set(trained)))
    aligner._is_accelerate_prepared = (
        False  # in an earlier phase: accelerate would hand it back as it is, without processes and precision
    )
    return accelerator.prepare(aligner)


def use_autocast(accelerator: Accelerator, aligner: Any) -> Any:
    """Let the model run in the accelerator's precision, and return float32, until `release_model`."""
    if accelerator.mixed_precision == "no":
        return aligner
    forward = aligner.forward

    def run(*inputs: Any) -> Any:
        with accelerator.autocast():
            found = forward(*inputs)
        return convert_to_fp32(found)

    aligner.forward = run
    return aligner


def unwrap_model(accelerator: Accelerator, model: Any) -> Any:
    """The model inside what `prepare_model` returned."""
    return model if isinstance(model, PolyCLIP) else accelerator.unwrap_model(model)


def clip_gradients(accelerator: Accelerator, model: Any, limit: float) -> None:
    """Average the gradients that are not averaged yet, and clip all of them to a norm of `limit`."""
    if fsdp.is_sharded(model):
        fsdp.average_gradients(model)
        fsdp.clip_gradient_norm(model.parameters(), limit)
        return
    # accelerate does the same with DTensor and sympy imported, which takes a second; it alone unscales those of fp16.
    clip = clip_grad_norm_ if accelerator.scaler is None else accelerator.clip_grad_norm_
    clip([p for p in model.parameters() if p.grad is not None], limit)


def run_validation(
    accelerator: Accelerator, model: Any, aligner: Any, trained: list[str], validate: Callable[[], float]
) -> float:
    """Validate the model with its current weights; a sharded copy's weights are collected into it first."""
    if not fsdp.is_sharded(model):
        return validate()
    fsdp.collect_parameters(model, aligner, set(trained))
    aligner.to(accelerator.device)
    value = validate()
    aligner.to("cpu")
    return value


def release_model(accelerator: Accelerator, model: Any, aligner: Any) -> None:
    """Return the model to the CPU and to float32, as before `prepare_model`."""
    if model is aligner and "_original_forward" not in vars(aligner):
        vars(aligner).pop("forward", None)  # of `use_autocast`
    else:
        accelerator.unwrap_model(model, keep_fp32_wrapper=False)
    aligner.to("cpu")
