"""Floating-point operations, as torch counts them, with what it counts wrongly or not at all."""

from collections.abc import Sequence
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode, conv_flop_count, sdpa_backward_flop_count, sdpa_flop_count

Shape = Sequence[int]


def make_flop_counter() -> FlopCounterMode:
    """Return torch's counter, corrected.

    Attention on a CPU is counted; torch knows that of GPUs only. The gradient of a convolution in groups costs what the
    convolution costs, for each of its two parts: torch 2.14 counts that of the weights as if every channel saw all
    others, 96 times too much for a depthwise convolution of 96 channels.
    """
    aten = torch.ops.aten
    return FlopCounterMode(
        display=False,
        custom_mapping={
            aten._scaled_dot_product_flash_attention_for_cpu: count_attention,
            aten._scaled_dot_product_flash_attention_for_cpu_backward: count_attention_gradient,
            aten.convolution_backward: count_convolution_gradient,
        },
    )


def count_attention(query: Shape, key: Shape, value: Shape, *_: Any, **__: Any) -> int:
    """Count the operations of attention, from the shapes of its inputs."""
    return int(sdpa_flop_count(query, key, value))


def count_attention_gradient(gradient: Shape, query: Shape, key: Shape, value: Shape, *_: Any, **__: Any) -> int:
    """Count the operations of the gradient of attention."""
    return int(sdpa_backward_flop_count(gradient, query, key, value))


def count_convolution_gradient(gradient: Shape, images: Shape, weights: Shape, *rest: Any, **_: Any) -> int:
    """Count the operations of the gradient of a convolution.

    Args:
        gradient: Shape of the gradient of the output.
        images: Shape of the input.
        weights: Shape of the weights, [channels out, channels in of a group, ...].
        rest: The other arguments of `aten.convolution_backward`: bias, stride, padding, dilation, whether the
            convolution is transposed, padding of the output, groups, and which gradients are asked for.

    Returns:
        Operations; the bias is not counted.

    """
    transposed, asked = rest[4], rest[7]
    forward = conv_flop_count(list(images), list(weights), list(gradient), transposed)
    return int(forward) * (bool(asked[0]) + bool(asked[1]))
