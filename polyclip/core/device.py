"""Where models run: the device that was asked for, else the best there is."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch

from polyclip.core.environment import read_variable, read_whole_number
from polyclip.core.launch import is_launched
from polyclip.errors import PolyclipError

AUTO = "auto"
_scoped: ContextVar[torch.device | None] = ContextVar("polyclip device", default=None)


def best_device() -> torch.device:
    """The fastest kind of device that torch finds: CUDA, then Apple's MPS, then the CPU."""
    if torch.cuda.is_available():
        if not (is_launched() and read_variable("LOCAL_RANK")):
            return torch.device("cuda")
        local = read_whole_number("LOCAL_RANK", 0)  # each process of a job has a GPU of its own
        return torch.device("cuda", local % torch.cuda.device_count())
    return torch.device("mps") if torch.backends.mps.is_available() else torch.device("cpu")


def pick_device(name: str | torch.device | None = None) -> torch.device:
    """Resolve what a user wrote to a device that exists here.

    Args:
        name: `cpu`, `cuda`, `cuda:1` or `mps`; `auto`, empty or None for the best there is.

    Returns:
        The device.

    Raises:
        PolyclipError: The name is not one of these, or torch does not find such a device.

    Example:
        >>> pick_device("cpu")
        device(type='cpu')

    """
    if name is None or str(name) in ("", AUTO):
        return best_device()
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise PolyclipError(f"Unknown device {str(name)!r}; expected auto, cpu, cuda, cuda:N or mps.") from error
    if device.type not in ("cpu", "cuda", "mps"):
        raise PolyclipError(f"Device {str(name)!r} is not supported; expected auto, cpu, cuda, cuda:N or mps.")
    found = torch.cuda.device_count() if device.type == "cuda" else int(torch.backends.mps.is_available())
    if device.type != "cpu" and (device.index or 0) >= found:
        more = f"{found} found" if found else "none found"
        hint = "Use --device cpu, or leave the option out for the best device there is."
        raise PolyclipError(f"Device {str(name)!r} is not available: torch {torch.__version__} sees {more}. {hint}")
    return device


def current_device() -> torch.device:
    """The device of the innermost `use_device` block, else the best there is."""
    return _scoped.get() or best_device()


@contextmanager
def use_device(name: str | torch.device | None) -> Iterator[torch.device]:
    """Encode and train on a device within the block; afterwards everything is as it was.

    Args:
        name: As in `pick_device`.

    Yields:
        The device.

    Raises:
        PolyclipError: As `pick_device` does.

    """
    device = pick_device(name)
    token = _scoped.set(device)
    try:
        if device.type == "cuda" and device.index is not None:
            with torch.cuda.device(device):
                yield device
        else:
            yield device
    finally:
        _scoped.reset(token)
