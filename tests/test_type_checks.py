"""Calls are checked under pytest: the import hook of `--jaxtyping-packages` leads every function to `check_calls`."""

from dataclasses import dataclass
from typing import Any

import jaxtyping
import pytest
import torch
from beartype import beartype
from beartype.roar import BeartypeCallHintViolation
from jaxtyping import Float, TypeCheckError
from torch import Tensor

from polyclip.core.expected import check_count
from polyclip.core.storage import hash_file
from polyclip.core.vectors import normalize
from tests.type_checks import check_calls, has_quotes, has_shapes


def test_functions_of_polyclip_are_checked() -> None:
    with pytest.raises(BeartypeCallHintViolation):
        check_count(3, 4)  # type: ignore[arg-type]
    with pytest.raises(BeartypeCallHintViolation):
        hash_file("a text")  # type: ignore[arg-type]
    with pytest.raises(TypeCheckError):
        normalize(torch.ones(3, dtype=torch.int64))


def test_shapes_are_compared_across_arguments_and_result() -> None:
    def multiply(a: Float[Tensor, "row inner"], b: Float[Tensor, "inner column"]) -> Float[Tensor, "row column"]:
        return a @ b if a.shape[0] > 1 else torch.zeros(7, 7)

    checked = check_calls(multiply, beartype)
    assert checked(torch.ones(2, 3), torch.ones(3, 4)).shape == (2, 4)
    with pytest.raises(TypeCheckError, match="inner"):
        checked(torch.ones(2, 3), torch.ones(4, 4))
    with pytest.raises(TypeCheckError, match="return value"):
        checked(torch.ones(1, 3), torch.ones(3, 4))


@pytest.mark.parametrize(
    ("hint", "shapes", "quotes"),
    [
        (int, False, False),
        (Tensor, False, False),
        (dict[str, list[float]], False, False),
        (Float[Tensor, ""], True, False),
        (list[Float[Tensor, ""]] | None, True, True),  # the repr of a shape has quotes inside others
        ("Tensor", False, True),
        (list["Tensor"], False, True),
    ],
)
def test_who_is_asked_for_shapes_and_names(hint: Any, shapes: bool, quotes: bool) -> None:
    def function(value: Any) -> None: ...

    function.__annotations__["value"] = hint
    assert (has_shapes(function), has_quotes(function)) == (shapes, quotes)


def test_data_classes_are_checked_when_they_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclass(frozen=True, slots=True)
    class Point:
        x: int

    checked = check_calls(Point, beartype)
    assert checked is Point and Point(1).x == 1
    with pytest.raises(BeartypeCallHintViolation):
        Point("1")  # type: ignore[arg-type]
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    assert Point("1").x == "1"  # type: ignore[arg-type, comparison-overlap]
