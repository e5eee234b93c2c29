"""The number format of a frozen encoder's matrix products: what was asked for, else the device's best.

Only what is encoded is meant: weights that are trained, heads, norms, attention, sums and everything that is stored
stay float32.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache

import torch

from polyclip.core.device import current_device
from polyclip.core.environment import read_variable
from polyclip.errors import PolyclipError, UnknownName

FP32, BF16, INT8, AUTO = "fp32", "bf16", "int8", "auto"
PRECISIONS = (AUTO, FP32, BF16, INT8)
VARIABLE = "POLYCLIP_ENCODE_PRECISION"
HARDWARE = ("avx512_bf16", "amx_bf16", "bf16")  # torch's names of what multiplies bf16; the last is Arm's
DTYPES = {torch.float32: FP32, torch.bfloat16: BF16}
_scoped: ContextVar[str] = ContextVar("polyclip encode precision", default="")


@cache
def has_bf16_hardware() -> bool:
    """Whether this CPU multiplies bf16 in hardware, as torch finds out."""
    found = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}  # torch < 2.11 cannot say
    if found:
        return any(found.get(name) for name in HARDWARE)
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def pick_encode_precision(name: str = AUTO, device: torch.device | None = None) -> str:
    """Resolve what a user wrote to a format that works on a device.

    Args:
        name: `fp32`, `bf16`, `int8` or `auto`: bf16 on a CPU that multiplies it in hardware, else fp32.
        device: By default the one in use.

    Returns:
        `fp32`, `bf16` or `int8`.

    Raises:
        UnknownName: There is no such format.
        PolyclipError: int8 was asked for on a GPU.

    """
    if name not in PRECISIONS:
        raise UnknownName("encode precision", name, PRECISIONS)
    device = current_device() if device is None else device
    if name == INT8 and device.type != "cpu":
        raise PolyclipError(f"--encode-precision int8 is for CPUs, and this runs on {device}: use bf16 or fp32.")
    if name != AUTO:
        return name
    return BF16 if device.type == "cpu" and has_bf16_hardware() else FP32


def current_encode_precision(device: torch.device | None = None) -> str:
    """The format of the innermost `use_encode_precision` block, else of the environment, else the device's best."""
    if not _scoped.get() and read_variable(VARIABLE) not in ("", *PRECISIONS):
        raise PolyclipError(f"{VARIABLE} is {read_variable(VARIABLE)[:40]!r}, expected one of {', '.join(PRECISIONS)}.")
    return pick_encode_precision(_scoped.get() or read_variable(VARIABLE) or AUTO, device)


def get_chosen_precision() -> str:
    """The format of the innermost `use_encode_precision` block; empty where none was chosen."""
    return _scoped.get()


def name_precision(dtype: torch.dtype | None, device: torch.device) -> str:
    """The format that a torch type stands for; empty where the one in use is meant.

    Args:
        dtype: `torch.float32`, `torch.bfloat16`, `torch.float16` or None.
        device: Where the encoders run.

    Raises:
        PolyclipError: There is no such format on the device.

    """
    if dtype is None or (dtype == torch.float16 and device.type != "cpu"):
        return ""
    if dtype not in DTYPES:
        raise PolyclipError(f"dtype {dtype} does not work on {device}; expected torch.float32 or torch.bfloat16.")
    return DTYPES[dtype]


@contextmanager
def use_encode_precision(name: str | None) -> Iterator[None]:
    """Encode in a format within the block.

    Args:
        name: As in `pick_encode_precision`; None or empty leaves it as it is.

    Raises:
        UnknownName: There is no such format.

    """
    if name and name not in PRECISIONS:
        raise UnknownName("encode precision", name, PRECISIONS)
    token = _scoped.set(name or _scoped.get())
    try:
        yield
    finally:
        _scoped.reset(token)
