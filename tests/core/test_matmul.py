"""Float32 products at the CPU's full rate: still float32, and torch's setting is afterwards what it was."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
import torch

from polyclip.core import matmul
from polyclip.core.matmul import multiply_at_full_rate

setting = pytest.mark.skipif(matmul.ONEDNN is None, reason="this torch has no such setting")


@pytest.fixture(params=["none", "ieee"])
def before(request: pytest.FixtureRequest) -> Iterator[str]:
    """What the caller has set."""
    own = matmul.ONEDNN.fp32_precision
    matmul.ONEDNN.fp32_precision = request.param
    yield request.param
    matmul.ONEDNN.fp32_precision = own


def test_products_stay_float32() -> None:
    first, second = torch.randn(300, 700), torch.randn(700, 200)
    wanted = first.double() @ second.double()
    with multiply_at_full_rate():
        found = first @ second
    assert found.dtype == torch.float32 and (found - wanted).abs().max() < 2e-4  # bf16 errs by about 0.3


@setting
def test_the_setting_is_the_callers_again(before: str) -> None:
    with multiply_at_full_rate(), multiply_at_full_rate():
        inside = matmul.ONEDNN.fp32_precision
    assert inside == (matmul.ALLOWED if matmul.stays_exact() else before)
    assert matmul.ONEDNN.fp32_precision == before
    with pytest.raises(ValueError, match="inside"), multiply_at_full_rate():
        raise ValueError("inside")
    assert matmul.ONEDNN.fp32_precision == before


@setting
def test_threads_that_overlap_leave_it_as_it_was(before: str) -> None:
    both = Barrier(4)

    def enter(number: int) -> None:
        both.wait()
        for _ in range(200):
            with multiply_at_full_rate():
                pass

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(enter, range(4)))
    assert matmul.ONEDNN.fp32_precision == before


@setting
def test_a_cpu_that_would_round_is_left_alone(before: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> bool:
        return False

    monkeypatch.setattr(matmul, "stays_exact", refuse)
    with multiply_at_full_rate():
        assert matmul.ONEDNN.fp32_precision == before


@setting
def test_rounding_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the products inside were those of a CPU with matrix tiles."""
    own: Any = torch.Tensor.__matmul__

    def round_first(self: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        return own(self.bfloat16().float(), other) if self.dtype == torch.float32 else own(self, other)

    monkeypatch.setattr(torch.Tensor, "__matmul__", round_first)
    assert not matmul.stays_exact.__wrapped__()
