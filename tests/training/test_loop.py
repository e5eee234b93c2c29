"""The training loop by itself: what each setting does, what is validated on, and which epoch is kept."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from polyclip.data.corpus import load_corpus
from polyclip.errors import RunError
from polyclip.languages.resolve import resolve_language
from polyclip.models.config import ModelConfig
from polyclip.training import compute, loop, member_threads
from polyclip.training.checkpoint import TrainingState
from polyclip.training.compute import Compute
from polyclip.training.config import HEADS, AlignConfig
from polyclip.training.loop import Phase, fit, get_rate_factor, group_parameters, prepare_training, train_epochs
from polyclip.training.prepare import Work, load_pairs, make_phase, prepare_run
from tests.toy import write_corpus, write_text_encoder, write_vision_tower

QUICK = replace(HEADS, epochs=3, batch_size=8, learning_rate=1e-2, seed=5)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Work:
    """A run of `heads` that is ready to be trained."""
    folder = tmp_path_factory.mktemp("loop")
    towers = {"text_encoder": write_text_encoder(folder / "text"), "vision_tower": write_vision_tower(folder / "v")}
    recipe = ModelConfig(method="heads", dim=16, **towers)
    languages = [resolve_language("sw"), resolve_language("en")]
    corpus = str(write_corpus(folder / "corpus"))
    return prepare_run(
        AlignConfig(languages=languages, recipe=recipe, corpus=corpus, heads=QUICK, out=folder / "run", lint=False)
    )


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("method", ["head-mlp", "head-glu"])
def test_members_learn_apart_what_they_learn_together(
    tmp_path: Path, method: str, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    towers = {"text_encoder": write_text_encoder(tmp_path / "text"), "vision_tower": write_vision_tower(tmp_path / "v")}
    work = prepare_run(
        AlignConfig(
            languages=[resolve_language("sw"), resolve_language("en")],
            recipe=ModelConfig(method=method, dim=16, **towers),
            corpus=str(write_corpus(tmp_path / "corpus")),
            heads=replace(QUICK, learning_rate=1e-3),
            out=tmp_path / "run",
            lint=False,
        )
    )
    phase = make_phase("heads", work.run.heads, work)
    phase = replace(phase, compute=Compute(precision=precision), resumable=False, last=True)
    assert phase.members > 1 and phase.trains_members_apart
    calls: list[int] = []
    monkeypatch.setattr(
        member_threads.MemberThreads,
        "run_member",
        lambda *given, run=member_threads.MemberThreads.run_member: calls.append(given[2]) or run(*given),  # type: ignore[func-returns-value]
    )
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        apart = trained(work, phase)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert len(calls) == 3 * phase.steps_per_epoch * phase.members and set(calls) == set(range(phase.members))
    assert is_same(apart, trained(work, phase))  # whatever the number of threads
    calls.clear()
    together = trained(work, replace(phase, heads_only=False))
    assert not calls
    loose = 2e-2 if precision == "bf16" else 1e-4
    for name, tensor in together.items():
        torch.testing.assert_close(
            apart[name], tensor, rtol=loose, atol=loose, msg=lambda text, name=name: f"{name}: {text}"
        )


@pytest.fixture
def planned(work: Work, tmp_path: Path) -> Any:
    """The phase of the heads in a folder of its own; afterwards the run is as it was."""
    before = {name: tensor.clone() for name, tensor in work.aligner.state().items()}
    yield replace(make_phase("heads", QUICK, work), folder=tmp_path)
    work.aligner.set_state(before, "before")


def trained(work: Work, phase: Phase) -> dict[str, Tensor]:
    """Weights after a phase; the model is then as it was."""
    before = {name: tensor.clone() for name, tensor in work.aligner.state().items()}
    fit(work.aligner, phase)
    after = {name: tensor.clone() for name, tensor in work.aligner.state().items()}
    work.aligner.set_state(before, "before")
    return after


def is_same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def test_the_rate_warms_up_in_a_line_and_falls_as_a_cosine() -> None:
    rates = [get_rate_factor(number, 100, 0.1) for number in range(100)]
    assert rates[:10] == pytest.approx([n / 10 for n in range(1, 11)])
    assert rates[10:] == pytest.approx([0.5 * (1 + math.cos(math.pi * n / 90)) for n in range(90)])
    assert get_rate_factor(0, 100, 0.0) == 1.0


def test_the_rate_of_a_step_is_that_of_its_number(work: Work, planned: Phase, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[float] = []

    def step(accelerator: Any, model: Any, optimizer: Any, phase: Phase, number: int, **_: Any) -> float:
        seen.append(optimizer.param_groups[0]["lr"])
        return 1.0

    monkeypatch.setattr(loop, "run_step", step)
    fit(work.aligner, replace(planned, last=True, resumable=False))
    total = 3 * planned.steps_per_epoch
    assert seen == pytest.approx([1e-2 * get_rate_factor(number, total, 0.1) for number in range(total)])


def test_matrices_alone_decay(work: Work) -> None:
    names = {id(p): name for name, p in work.aligner.named_parameters()}
    groups = group_parameters(work.aligner, replace(QUICK, weight_decay=0.3), list(names.values()))
    decay = {names[id(p)]: group["weight_decay"] for group in groups for p in group["params"]}
    assert decay["text.head.members.0.linear.weight"] == 0.3
    assert decay["text.head.members.0.linear.bias"] == decay["log_scale"] == 0.0


def test_a_seed_decides_what_is_drawn(work: Work, planned: Phase) -> None:
    once, again = (trained(work, replace(planned, resumable=False)) for _ in range(2))
    other = trained(work, replace(planned, resumable=False, settings=replace(QUICK, seed=6)))
    assert is_same(once, again) and not is_same(once, other)


def test_the_best_epoch_is_kept_and_the_last_where_asked(work: Work, planned: Phase) -> None:
    seen: list[dict[str, Tensor]] = []
    values = iter([0.1, 0.4, 0.3, 0.2])  # before training and after each epoch

    def validate() -> float:
        seen.append({name: tensor.clone() for name, tensor in work.aligner.state().items()})
        return next(values)

    fit(work.aligner, replace(planned, validate=validate, resumable=False))
    assert is_same(work.aligner.state(), seen[1]) and not is_same(seen[1], seen[3])
    state = TrainingState()
    for epoch, value in enumerate((0.5, 0.5, 0.4)):
        state.record({"epoch": epoch, "validation": value}, work.aligner)
    assert state.best_value == 0.5 and len(state.log) == 3
    state.record({"epoch": 3, "validation": 0.1}, work.aligner, last=True)
    assert state.best_value == 0.1


def test_what_is_validated_on_is_neither_trained_on_nor_tested(work: Work) -> None:
    corpus = load_corpus(work.run.corpus)
    train, held_out, _ = load_pairs(work.run)
    splits = {split: set(corpus.reader.split_concepts(corpus.folder, split)) for split in ("train", "validation")}
    assert set(train.concepts) == splits["train"] and set(held_out.concepts) == splits["validation"]
    assert set(work.sides[0].held_out_pairs.concepts) == splits["validation"]
    weights = dict(zip(held_out.captions, held_out.caption_weight.tolist(), strict=True))
    assert {text for text, weight in weights.items() if weight > 0} == {t for t in weights if " " in t}  # names alone


@pytest.mark.parametrize("limit", [0.01, 0.5])
def test_a_gradient_is_cut_to_its_longest(work: Work, planned: Phase, limit: float) -> None:
    accelerator = compute.create_accelerator(Compute())
    model, _ = prepare_training(accelerator, work.aligner, planned)
    parameters = [p for p in work.aligner.parameters() if p.requires_grad]
    for parameter in parameters:
        parameter.grad = torch.ones_like(parameter)
    compute.clip_gradients(accelerator, model, limit)
    assert torch.cat([p.grad.flatten() for p in parameters if p.grad is not None]).norm().item() == pytest.approx(
        limit, rel=1e-3
    )
    compute.release_model(accelerator, model, work.aligner)
    work.aligner.zero_grad(set_to_none=True)


def test_a_run_goes_on_with_the_optimizer_as_it_was(work: Work, planned: Phase) -> None:
    whole = trained(work, replace(planned, resumable=False, last=True))
    lines = train_epochs(work.aligner, replace(planned, last=True))
    while next(lines)["epoch"] < 2:  # a checkpoint has been written by the time its line is given
        pass
    lines.close()
    assert is_same(trained(work, replace(planned, last=True)), whole)


def test_a_loss_that_is_not_finite_ends_the_phase_by_name(work: Work, planned: Phase) -> None:
    broken = replace(planned, loss=lambda batch: batch.text.sum() * float("nan"), resumable=False)
    with pytest.raises(RunError, match="The loss is nan at step 0 of heads"):
        fit(work.aligner, broken)
