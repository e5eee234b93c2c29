"""Encode captions and images with an encoder in the form that is fastest on its device."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from polyclip.core.device import current_device
from polyclip.core.encode_precision import BF16, FP32, current_encode_precision
from polyclip.core.progress import Progress
from polyclip.models.backbone import BackboneSpec, FastForm, FusedForCpu, LightBuilder
from polyclip.models.batches import Meter, get_device, run_in_batches
from polyclip.models.packed_encoder import PackedEncoder
from polyclip.models.products import round_linear_layers
from polyclip.models.trunk import State, run_below


def build_encoder(
    spec: BackboneSpec,
    device: torch.device | None = None,
    dtype: torch.dtype = torch.float32,
    precision: str | None = None,
) -> Any:
    """Build a frozen encoder for encoding alone, in the form that is fastest on its device.

    Args:
        spec: A text or vision encoder.
        device: Where it runs; by default the one in use (`polyclip.core.device.current_device`).
        dtype: Of its weights on a GPU.
        precision: Format of its matrix products on a CPU; by default the one in use
            (`polyclip.core.encode_precision.current_encode_precision`).

    Returns:
        The encoder in eval mode.

    """
    device = current_device() if device is None else device
    if precision is None:
        precision = current_encode_precision(device)
    if device.type != "cpu":
        dtype = torch.bfloat16 if precision == BF16 and dtype == torch.float32 else dtype
        return get_inference_form(spec.build().to(device)).to(dtype)
    encoder = spec.build.build_light() if isinstance(spec.build, LightBuilder) else spec.build()
    form = get_inference_form(encoder, precision)
    if isinstance(form, PackedEncoder):
        return form
    for module in form.modules():  # in place: nobody else has it
        if isinstance(module, FusedForCpu):
            module.fuse_for_cpu(precision)
    if precision != FP32:
        round_linear_layers(form, precision)
    return form


def get_inference_form(encoder: Any, precision: str = FP32) -> Any:
    """The same function in the form that is fastest without gradients, where the encoder has one for its device.

    Args:
        encoder: A built encoder, which is left as it is.
        precision: Format of the matrix products of a text encoder without padding; others stay float32.

    Returns:
        The encoder, or its other form.

    """
    form = encoder.get_inference_form() if isinstance(encoder, FastForm) else encoder
    return form.in_precision(precision) if isinstance(form, PackedEncoder) else form


def get_dtype(encoder: Any) -> torch.dtype:
    """The floating-point type of an encoder's weights."""
    kinds = (parameter.dtype for parameter in encoder.parameters() if parameter.is_floating_point())
    return next(kinds, torch.float32)


def autocast(encoder: Any) -> AbstractContextManager[object]:
    """Autocast to the type of the encoder's weights; no-op for float32."""
    dtype = get_dtype(encoder)
    return nullcontext() if dtype == torch.float32 else torch.autocast(get_device(encoder).type, dtype)


def encode_items(encoder: Any, items: Sequence[Any], meter: Meter) -> Float[Tensor, "row dim"]:
    """Encode captions or images that are not in the cache.

    Args:
        encoder: A built encoder (`polyclip.models.backbone.Backbone`).
        items: Captions, or image sources.
        meter: Receives the number of rows just done.

    Returns:
        Features in float32 on the CPU, one row an item, in their order.

    """
    out = torch.empty(len(items), encoder.dim)

    def run(inputs: State, batch: list[int]) -> Callable[[], None]:
        with autocast(encoder):
            found = encoder(**inputs)
        return lambda: out.__setitem__(batch, found.float().cpu())

    def prepare(batch: list[int]) -> State:
        return encoder.prepare([items[row] for row in batch])

    run_in_batches(encoder, prepare, run, encoder.costs(items), meter)
    return out


def encode_states(encoder: Any, items: Sequence[Any], position: int, meter: Meter) -> list[State]:
    """Hidden states of items at a position of the encoder's trunk.

    Args:
        encoder: A built encoder.
        items: Captions, or image sources.
        position: Layers of the trunk that are run.
        meter: Receives the number of rows just done.

    Returns:
        One state an item, on the CPU, without padding.

    """
    out: list[State] = [{}] * len(items)

    def run(inputs: State, batch: list[int]) -> Callable[[], None]:
        with autocast(encoder):
            state = run_below(encoder.trunk, encoder.start(inputs), position) if position else inputs

        def keep() -> None:
            on_cpu = {name: tensor.cpu() for name, tensor in state.items()}
            for row, own in zip(batch, encoder.split(on_cpu), strict=True):
                out[row] = {name: t.float() if t.is_floating_point() else t for name, t in own.items()}

        return keep

    run_in_batches(
        encoder, lambda batch: encoder.prepare([items[row] for row in batch]), run, encoder.costs(items), meter
    )
    return out


def finish_states(encoder: Any, rows: Sequence[State], position: int, what: str) -> Float[Tensor, "row dim"]:
    """Run what lies above a position of the trunk on hidden states.

    Args:
        encoder: A built encoder.
        rows: States as `encode_states` gives them.
        position: Where they were taken.
        what: What is encoded, for the progress bar.

    Returns:
        Features in float32 on the CPU, one row a state.

    """
    running = get_inference_form(encoder, current_encode_precision(get_device(encoder)))
    out = torch.empty(len(rows), encoder.dim)

    def run(inputs: State, batch: list[int]) -> Callable[[], None]:
        with autocast(running):
            found = running.finish(inputs, position)
        return lambda: out.__setitem__(batch, found.float().cpu())

    costs = [running.weigh(rows[row]) for row in range(len(rows))]
    with Progress(f"encoding {what}", len(rows)) as progress:
        run_in_batches(running, lambda batch: running.join([rows[row] for row in batch]), run, costs, progress.advance)
    return out
