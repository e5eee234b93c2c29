"""Which convolutions of EfficientNet-Lite are multiplied in bf16, and whether that is faster here.

Nearly all of the error that bf16 brings comes from a few convolutions: those of the first stages, and the projections
of blocks without a shortcut, whose result replaces the map. They stay float32. What a block with a shortcut adds to the
map, what is expanded in later stages, and the last convolution lose next to nothing (docs/guides/encoders.md).
"""

import time
from functools import cache
from typing import Any

import torch
from torch import nn

from polyclip.core.matmul import find_operations
from polyclip.core.threads import is_first_faster
from polyclip.models.vision._fused import FusedConv2d

FIRST = 3  # stage from which on convolutions are rounded
INNER, OUTER = torch.bfloat16, torch.float32  # types of what stays within a block, and of what leaves it
WIDTH, EXPANDED, EDGE, IMAGES = 80, 480, 14, 2  # of the block that tells which format is faster
TURNS = 5  # of which the fastest counts


def pick_rounded(model: Any) -> dict[nn.Module, torch.dtype]:
    """Pick the convolutions that are multiplied in bf16.

    Args:
        model: timm's EfficientNet-Lite.

    Returns:
        Each with the type of its result.

    """
    found: dict[nn.Module, torch.dtype] = {}
    for stage in model.blocks[FIRST:]:
        for block in stage:
            found[block.conv_pw] = INNER
            if block.has_skip:
                found |= {block.conv_dw: INNER, block.conv_pwl: OUTER}
    return found | {model.conv_head: OUTER}


@cache
def is_worthwhile() -> bool:
    """Whether oneDNN multiplies convolutions in bf16 faster than in float32 here; measured once, in a tenth of a
    second.
    """
    if find_operations("_convolution_pointwise", "_is_mkldnn_bf16_supported") is None:
        return False
    if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return False
    layers = [
        nn.Conv2d(WIDTH, EXPANDED, 1),
        nn.Conv2d(EXPANDED, EXPANDED, 5, padding=2, groups=EXPANDED),
        nn.Conv2d(EXPANDED, WIDTH, 1),
    ]
    rounded, exact = (
        nn.Sequential(*(FusedConv2d(layer, True, dtype, dtype) for layer in layers)) for dtype in (INNER, OUTER)
    )
    return is_first_faster(measure_seconds, rounded, exact, TURNS)


@torch.inference_mode()
def measure_seconds(block: nn.Module) -> float:
    """Seconds on the clock that a block takes."""
    maps = torch.ones(IMAGES, WIDTH, EDGE, EDGE).contiguous(memory_format=torch.channels_last)
    started = time.perf_counter()
    block(maps)
    return time.perf_counter() - started
