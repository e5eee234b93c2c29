"""Models whose parameters are shapes without values: enough to count them, or to receive weights from a file."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

FILLS = frozenset(  # methods of tensors, and functions of torch.nn.init, which name theirs `tensor`
    {
        *("normal_", "uniform_", "exponential_", "erfinv_", "fill_", "zero_", "copy_"),
        *("add_", "sub_", "mul_", "div_", "clamp_"),
        *("trunc_normal_", "kaiming_uniform_", "kaiming_normal_", "xavier_uniform_", "xavier_normal_"),
    }
)


class SkipFills(TorchFunctionMode):
    """Leaves out what fills a tensor without values: torch computes its shape in Python, milliseconds for a matrix."""

    def __torch_function__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Return a tensor without values as it is where `func` would fill it; call anything else."""
        named = kwargs or {}
        filled = args[0] if args else named.get("tensor")
        if func.__name__ in FILLS and isinstance(filled, torch.Tensor) and filled.is_meta:
            return filled
        return func(*args, **named)


@contextmanager
def without_values() -> Iterator[None]:
    """Build models within the block on the device "meta": parameters and buffers have no values, and take no memory."""
    with torch.device("meta"), SkipFills():
        yield


def build_without_memory(build: Callable[[], Any]) -> Any:
    """Build a model whose parameters are shapes only, ready for memory-mapped weights; its buffers are real."""
    from accelerate import init_empty_weights

    with init_empty_weights(include_buffers=False), SkipFills():
        return build()
