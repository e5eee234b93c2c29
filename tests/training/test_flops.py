"""Counted floating-point operations, against what the shapes say."""

import pytest
import torch
from torch import nn

from polyclip.training.flops import make_flop_counter


def count(run: object, *given: torch.Tensor) -> tuple[int, int]:
    """Operations of a module forward, and of its gradient."""
    with make_flop_counter() as forward:
        found = run(*given)  # type: ignore[operator]
    with make_flop_counter() as backward:
        found.sum().backward()
    return forward.get_total_flops(), backward.get_total_flops()


@pytest.mark.parametrize("groups", [1, 4, 32])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("asked", [True, False], ids=["input", "weights alone"])
def test_gradient_of_a_convolution_costs_what_the_convolution_costs(groups: int, stride: int, asked: bool) -> None:
    convolution = nn.Conv2d(32, 64, 3, stride=stride, padding=1, groups=groups)
    forward, backward = count(convolution, torch.randn(2, 32, 8, 8, requires_grad=asked))
    edge = 8 // stride
    assert forward == 2 * (2 * 64 * edge * edge) * (32 // groups) * 9
    assert backward == forward * (1 + asked)


def test_gradient_of_a_transposed_convolution_in_groups() -> None:
    convolution = nn.ConvTranspose2d(32, 64, 2, stride=2, groups=8)
    forward, backward = count(convolution, torch.randn(2, 32, 8, 8, requires_grad=True))
    assert forward == 2 * (2 * 32 * 8 * 8) * (64 // 8) * 4
    assert backward == 2 * forward


def test_attention_on_a_cpu_is_counted() -> None:
    query, key, value = (torch.randn(2, 3, 16, 8, requires_grad=True) for _ in range(3))
    forward, backward = count(nn.functional.scaled_dot_product_attention, query, key, value)
    assert forward == 2 * 2 * (2 * 3 * 16 * 16 * 8)
    assert backward > forward
