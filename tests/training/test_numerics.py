"""Numbers that go wrong: rows with NaN or infinite features are named; one thread and two end alike."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from polyclip.errors import RunError
from polyclip.training.loop import Phase, fit
from polyclip.training.prepare import Work
from tests.training.test_loop import is_same, planned, trained, work  # noqa: F401 (fixtures)

TOLERANCE = 1e-5  # largest difference of a weight; docs/explanation/testing.md has what was measured


def spoil(inputs: Any, row: int, value: float) -> Any:
    """Inputs whose features of one row are `value`."""

    def spoiled(rows: Tensor) -> dict[str, Any]:
        found = inputs(rows)
        return found | {"vectors": torch.where((rows == row)[:, None], value, found["vectors"])}

    return spoiled


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("kind", ["text", "image"])
def test_damaged_features_stop_the_run_and_name_the_row(
    work: Work,  # noqa: F811
    planned: Phase,  # noqa: F811
    kind: str,
    value: float,
) -> None:
    name = repr(planned.pairs.captions[3]) if kind == "text" else planned.pairs.images[3].name
    phase = replace(planned, resumable=False, **{kind: spoil(getattr(planned, kind), 3, value)})
    what = "captions" if kind == "text" else "images"
    said = rf"^The loss is (nan|inf) at step \d+ of heads\. NaN or infinite.* 1 of \d+ {what}"
    with pytest.raises(RunError, match=said) as error:
        fit(work.aligner, phase)
    assert f"({name})" in str(error.value) and "polyclip cache clear" in str(error.value)


def test_weights_that_diverge_are_told_from_damaged_features(work: Work, planned: Phase) -> None:  # noqa: F811
    broken = replace(planned, loss=lambda batch: batch.text.sum() * float("inf"), resumable=False)
    with pytest.raises(RunError, match="so the weights diverged: lower --learning-rate.*such as '"):
        fit(work.aligner, broken)


def test_one_thread_and_two_end_alike(work: Work, planned: Phase) -> None:  # noqa: F811
    before, found = torch.get_num_threads(), {}
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found[threads] = trained(work, replace(planned, resumable=False, last=True))
    finally:
        torch.set_num_threads(before)
    assert not is_same(found[1], work.aligner.state())
    for name, tensor in found[1].items():
        assert tensor.isfinite().all()
        torch.testing.assert_close(found[2][name], tensor, rtol=0, atol=TOLERANCE)
