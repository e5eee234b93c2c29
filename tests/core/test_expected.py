from typing import Any

import numpy as np
import pytest

from polyclip.core.expected import check_count
from polyclip.errors import DataError, PolyclipError


def test_whole_numbers_are_counts_those_of_numpy_too() -> None:
    assert [check_count("top_k", value) for value in (1, 50, np.int64(3))] == [1, 50, 3]


@pytest.mark.parametrize("wrong", [0, -1, 1.5, 2.0, "3", None, True, [1]])
def test_anything_else_is_named(wrong: Any) -> None:
    for error in (PolyclipError, DataError):
        with pytest.raises(error) as caught:
            check_count("top_k", wrong, error)
        assert str(caught.value) == f"top_k={wrong!r}, expected a whole number, at least 1."
