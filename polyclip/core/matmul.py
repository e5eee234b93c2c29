"""oneDNN in torch: its operations, and float32 matrix products at the full rate of a CPU.

torch gives them to MKL, which runs at half the rate on AMD processors with AVX-512. Where oneDNN may use bf16, torch
gives them to oneDNN instead, which runs at the full rate, and still computes in float32 unless the processor has matrix
tiles. Whether it does is measured; where it does not, nothing is changed.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch

ONEDNN: Any = getattr(torch.backends.mkldnn, "matmul", None)  # None: torch < 2.9
ALLOWED = "bf16"
ROUNDING = 1e-4  # of a sum of 512 products: float32 errs by less than a tenth, bf16 by more than a hundred times
_lock = threading.Lock()
_state: dict[str, Any] = {"users": 0, "before": None}


def find_operations(*names: str) -> Any:
    """torch's operations of oneDNN; None where this torch lacks one of these names, which are internal ones.

    Args:
        names: Such as `_linear_pointwise`.

    """
    found: Any = torch.ops.mkldnn
    return found if torch.backends.mkldnn.is_available() and all(hasattr(found, name) for name in names) else None


@contextmanager
def multiply_at_full_rate() -> Iterator[None]:
    """Multiply float32 matrices at the CPU's full rate within the block; torch's setting is then what it was.

    The setting is one of the process: other threads that multiply at the same time gain from it too.
    """
    if ONEDNN is None or not torch.backends.mkldnn.is_available():
        yield
        return
    with _lock:
        if _state["users"] == 0:
            _state["before"] = ONEDNN.fp32_precision
            if stays_exact():
                ONEDNN.fp32_precision = ALLOWED
        _state["users"] += 1
    try:
        yield
    finally:
        with _lock:
            _state["users"] -= 1
            if _state["users"] == 0:
                ONEDNN.fp32_precision = _state["before"]


@cache
def stays_exact() -> bool:
    """Whether oneDNN multiplies in float32 here although it may use bf16."""
    before = ONEDNN.fp32_precision
    numbers = torch.Generator().manual_seed(0)
    first, second = (torch.randn(64, 512, generator=numbers) for _ in range(2))
    ONEDNN.fp32_precision = ALLOWED
    try:
        found = first @ second.T
    finally:
        ONEDNN.fp32_precision = before
    return bool((found - first.double() @ second.double().T).abs().max() < ROUNDING)
