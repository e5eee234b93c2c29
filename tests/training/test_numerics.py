"""Numbers that go wrong: rows with NaN or infinite features are named, collapse stops training; one thread and two end
alike.
"""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from polyclip.errors import RunError
from polyclip.languages.resolve import resolve_language
from polyclip.models.branch import ModelConfig
from polyclip.models.trunk.trainable_rows import get_embedding_matrix
from polyclip.training.branch_data import Validation
from polyclip.training.collapse import SPREADS, check_collapse, measure_spreads
from polyclip.training.compute import Compute
from polyclip.training.config import TOWERS, AlignConfig
from polyclip.training.loop import Phase, fit, train_epochs
from polyclip.training.prepare import Work, make_phase, prepare_run
from tests.toy import write_corpus, write_text_encoder, write_vision_tower
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


def refused(phase: Phase, live: Work) -> str:
    """What the run of a phase says when it stops."""
    with pytest.raises(RunError) as error:
        fit(live.aligner, replace(phase, resumable=False))
    return str(error.value)


@pytest.fixture(params=["full", "lilt-da"])
def live(tmp_path: Path, request: pytest.FixtureRequest) -> Work:
    """A run that trains inside encoders, about to do so; of `full` captions are embedded from their tokens on."""
    towers = {
        "text_encoder": write_text_encoder(tmp_path / "text"),
        "vision_tower": write_vision_tower(tmp_path / "vision"),
    }
    recipe = ModelConfig(method=request.param, dim=16, **towers)
    languages = [resolve_language("sw"), resolve_language("en")]
    corpus = str(write_corpus(tmp_path / "corpus"))
    quick = replace(TOWERS, epochs=3, batch_size=8, seed=5)
    ready = prepare_run(
        AlignConfig(languages=languages, recipe=recipe, corpus=corpus, towers=quick, out=tmp_path / "run", lint=False)
    )
    for data in ready.sides:
        data.attach_backbone()
    return ready


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("live", ["lilt-da"], indirect=True)
def test_damaged_hidden_states_name_the_row(live: Work, precision: str) -> None:
    compute = Compute(precision=precision)
    phase = replace(make_phase("inside", live.run.towers, live), compute=compute)
    tensor = next(tensor for tensor in live.sides[1].states[2].values() if tensor.is_floating_point())
    tensor.view(-1)[5] = torch.nan
    said = refused(phase, live)
    name = phase.pairs.images[2].name
    assert re.search(rf"NaN or infinite features: 1 of \d+ images \({re.escape(str(name))}\)\. Encode", said), said


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("live", ["full"], indirect=True)
def test_an_encoder_that_overflows_on_a_word_names_its_captions(live: Work, precision: str) -> None:
    phase = replace(
        make_phase("inside", live.run.towers, live), compute=Compute(precision=precision), validate=lambda: 0.5
    )
    token = int(live.aligner.tokenizer(["njano"])["input_ids"][0, 1])
    with torch.no_grad():
        table = get_embedding_matrix(live.sides[0].side.encoder)
        table.rows[table.place[token]] = torch.inf
    said = refused(phase, live)
    assert re.search(r"give NaN or infinity for \d of \d captions \([^)]*njano", said), said
    assert "--precision fp32" in said and "nyekundu" not in said


@pytest.mark.parametrize("side", [0, 1])
def test_damaged_embeddings_at_validation_name_the_items(live: Work, side: int) -> None:
    phase, data = make_phase("inside", live.run.towers, live), live.sides[side]
    what = ("captions", "images")[side]
    embed = data.embed_held_out

    def spoiled(*wanted: Any) -> Tensor:
        found = embed(*wanted)
        found[2] = torch.nan
        return found

    data.embed_held_out = spoiled  # type: ignore[method-assign]
    said = refused(phase, live)
    count = "6" if side else "12"
    assert re.match(rf"NaN or infinite embeddings of 1 of {count} validation {what} \(.+\): the weights", said), said


@pytest.mark.parametrize("rate", [1.0, 100.0])
def test_training_that_makes_all_alike_stops(live: Work, rate: float) -> None:
    settings = replace(live.run.towers, learning_rate=rate, tower_learning_rate=rate)
    said = refused(make_phase("inside", settings, live), live)
    if "loss is nan" not in said:
        assert re.match(rf"Phase inside collapsed in epoch 1: ({'|'.join(SPREADS.values())})\.", said), said
        assert f"a lower --learning-rate ({rate:g}) or --weight-decay (0.1)." in said


@pytest.mark.parametrize("name", list(SPREADS))
def test_each_kind_of_collapse_is_found_at_any_epoch_and_after_a_resume(
    work: Work,  # noqa: F811
    planned: Phase,  # noqa: F811
    name: str,
) -> None:
    assert isinstance(planned.validate, Validation)
    rank, measured = planned.validate.rank, 0

    def collapse() -> Tensor:
        nonlocal measured
        found, measured = rank(), measured + 1
        planned.validate.spreads |= {name: 1e-9} if measured == 3 else {}
        return found

    planned.validate.rank = collapse  # type: ignore[method-assign]
    lines = train_epochs(work.aligner, replace(planned, last=True))
    assert [next(lines)["epoch"], next(lines)["epoch"]] == [0, 1]
    lines.close()
    with pytest.raises(RunError, match=rf"Phase heads collapsed in epoch 2: {SPREADS[name]}\. The spread is 1.0e-09"):
        fit(work.aligner, planned)


def test_spreads_by_hand() -> None:
    axes = torch.eye(4)
    found = measure_spreads(axes[:2], axes[2:])
    assert found == {"caption_spread": 0.5, "image_spread": 0.5, "score_spread": 0.0}  # they never meet
    found = measure_spreads(axes[:1].expand(3, 4), axes[:2])
    assert found == {"caption_spread": 0.0, "image_spread": 0.5, "score_spread": 0.25}  # scores 1 and 0
    text, image = (torch.nn.functional.normalize(torch.randn(n, 8), dim=1) for n in (5, 7))
    assert measure_spreads(text, image)["score_spread"] == pytest.approx(
        (text @ image.T).var(1, unbiased=False).mean().item(), rel=1e-4
    )


def test_what_was_alike_before_training_is_no_collapse() -> None:
    same = {"phase": "heads", "epoch": 1} | dict.fromkeys(SPREADS, 0.0)
    check_collapse(same, same, TOWERS)


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
