"""Losses against their definitions, written with loops."""

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from polyclip.core.vectors import normalize
from polyclip.models import losses
from polyclip.models.losses import (
    LOSSES,
    STARTS,
    LossInputs,
    Positives,
    contrastive_distillation,
    info_nce,
    mean_over_members,
    mse,
    sigmoid,
    sum_each_way,
)

CONCEPTS = [[0, 1, 2, 3, 4], [0, 0, 1, 2, 1], [7, 7, 7, 7, 7]]


def batch(
    text: Tensor, image: Tensor, concept: list[int] | None = None, scale: float = 1.0, bias: float = 0.0
) -> LossInputs:
    """Distinct concepts unless some are given."""
    return LossInputs(
        text, image, torch.tensor(concept or list(range(len(text)))), torch.tensor(scale), torch.tensor(bias)
    )


def unit_rows(rows: int, width: int) -> Tensor:
    return torch.nn.functional.normalize(torch.randn(rows, width), dim=1)


def slow_info_nce(text: Tensor, image: Tensor, concept: list[int], scale: float) -> float:
    """The definition, term by term."""
    n = len(concept)
    total = 0.0
    for one, other in ((text, image), (image, text)):
        for i in range(n):
            weights = [math.exp(scale * float(one[i] @ other[j])) for j in range(n)]
            positives = [j for j in range(n) if concept[j] == concept[i]]
            total -= sum(math.log(weights[j] / sum(weights)) for j in positives) / len(positives) / n
    return total / 2


@pytest.mark.parametrize("concept", CONCEPTS)
def test_info_nce_is_its_definition(concept: list[int]) -> None:
    text, image = unit_rows(5, 3), unit_rows(5, 3)
    found = info_nce(batch(text, image, concept, 9.0))
    assert found.item() == pytest.approx(slow_info_nce(text, image, concept, 9.0), rel=1e-5)


def test_info_nce_with_distinct_concepts_is_cross_entropy_both_ways() -> None:
    text, image = unit_rows(6, 4), unit_rows(6, 4)
    logits = 5.0 * text @ image.T
    label = torch.arange(6)
    both = (torch.nn.functional.cross_entropy(logits, label) + torch.nn.functional.cross_entropy(logits.T, label)) / 2
    torch.testing.assert_close(info_nce(batch(text, image, scale=5.0)), both)


def test_captions_of_one_concept_are_no_negatives() -> None:
    """Two pairs of one concept that all point the same way: nothing is left to push apart but the mean over equals."""
    same = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    assert info_nce(batch(same, same, [0, 1])).item() == pytest.approx(math.log(2))
    for scale in (30.0, 50.0):  # the logits are rounded to seven digits
        assert info_nce(batch(same, same, [0, 0], scale)).item() == pytest.approx(math.log(2), abs=1e-7 * scale)
    text = unit_rows(2, 3).requires_grad_()
    info_nce(batch(text, text.detach(), [0, 0])).backward()
    assert text.grad is not None and torch.isfinite(text.grad).all()


@pytest.mark.parametrize("concept", CONCEPTS)
def test_sigmoid_is_the_double_sum_of_siglip_algorithm_1(concept: list[int]) -> None:
    text, image = unit_rows(5, 3), unit_rows(5, 3)
    total = 0.0
    for i in range(5):
        for j in range(5):
            label = 1 if concept[i] == concept[j] else -1
            total -= math.log(1 / (1 + math.exp(-label * (8.0 * float(image[i] @ text[j]) - 3.0))))
    assert sigmoid(batch(text, image, concept, 8.0, -3.0)).item() == pytest.approx(total / 5, rel=1e-5)


def test_mse_is_the_mean_over_rows_and_dimensions() -> None:
    text, image = unit_rows(4, 3), unit_rows(4, 3)
    squares = [(float(text[i, d]) - float(image[i, d])) ** 2 for i in range(4) for d in range(3)]
    assert mse(batch(text, image)).item() == pytest.approx(sum(squares) / 12, rel=1e-5)
    assert mse(batch(text, text)).item() == 0


def slow_contrastive_distillation(student: Tensor, teacher: Tensor, scale: float) -> float:
    """For each row the cross-entropy from the teacher's neighbours to the student's."""
    n = len(student)
    total = 0.0
    for i in range(n):
        wanted = [math.exp(scale * float(teacher[i] @ teacher[j])) for j in range(n)]
        found = [math.exp(scale * float(student[i] @ teacher[j])) for j in range(n)]
        total -= sum(wanted[j] / sum(wanted) * math.log(found[j] / sum(found)) for j in range(n))
    return total / n


@pytest.mark.parametrize("scale", [1.0, 12.0])
def test_contrastive_distillation_is_its_definition(scale: float) -> None:
    student, teacher = unit_rows(5, 4), unit_rows(5, 4)
    found = contrastive_distillation(batch(student, teacher, scale=scale))
    assert found.item() == pytest.approx(slow_contrastive_distillation(student, teacher, scale), rel=1e-5)


def test_contrastive_distillation_is_smallest_where_the_student_is_the_teacher() -> None:
    teacher = unit_rows(6, 4)
    least = contrastive_distillation(batch(teacher, teacher, scale=10.0)).item()
    for shift in (1e-2, 0.1, 1.0):
        away = torch.nn.functional.normalize(teacher + shift * torch.randn(6, 4), dim=1)
        assert contrastive_distillation(batch(away, teacher, scale=10.0)).item() > least
    student = teacher.clone().requires_grad_()
    contrastive_distillation(batch(student, teacher, scale=10.0)).backward()
    assert student.grad is not None and student.grad.abs().max() < 1e-5


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_losses_fall_when_captions_move_towards_their_pictures(name: str) -> None:
    image = unit_rows(6, 8)
    far, near = (torch.nn.functional.normalize(image + noise * torch.randn(6, 8), dim=1) for noise in (1.0, 0.1))
    scale, bias = STARTS.get(name, (10.0, 0.0))
    loss: Callable[[LossInputs], Tensor] = LOSSES[name]
    assert loss(batch(near, image, None, scale, bias)) < loss(batch(far, image, None, scale, bias))


def test_unit_leaves_a_zero_row_zero() -> None:
    rows = normalize(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
    torch.testing.assert_close(rows, torch.tensor([[0.6, 0.8], [0.0, 0.0]]))


@pytest.mark.parametrize("scale", [0.5, 20.0, 39.0, 100.0, 1000.0])  # from 40 on each axis by itself
def test_info_nce_has_the_gradient_of_its_formula(scale: float) -> None:
    def by_autograd(given: LossInputs) -> Tensor:
        same = (given.concept[:, None] == given.concept).double()
        logits = given.scale * given.text @ given.image.T
        return -(same / same.sum(1, keepdim=True) * (logits.log_softmax(1) + logits.log_softmax(0))).sum() / 10

    concept = torch.tensor([0, 1, 0, 2, 1])
    rows = [unit_rows(5, 3).double(), unit_rows(5, 3).double(), torch.tensor(scale, dtype=torch.double)]
    gradients = []
    for loss in (info_nce, by_autograd):
        leaves = [row.clone().requires_grad_() for row in rows]
        text, image, size = leaves
        value = loss(LossInputs(text, image, concept, size, torch.zeros(())))
        (3 * value).backward()
        gradients.append([value.detach(), *(leaf.grad for leaf in leaves)])
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("scale", [20.0, 100.0])
def test_positives_in_all_places_are_those_in_their_own(scale: float) -> None:
    """As a GPU has them, which would have to wait for the places."""
    concept = torch.tensor([0, 1, 0, 2, 1])
    same = concept[:, None] == concept
    every = Positives(slice(None), (same / same.sum(1, keepdim=True)).view(-1).double())
    given, image, found = unit_rows(5, 3), unit_rows(5, 3), []
    for positives in (None, every):
        text = given.clone().requires_grad_()
        loss = info_nce(replace(batch(text, image, concept.tolist(), scale), positives=positives))
        loss.backward()
        found.append((loss.detach(), text.grad))
    torch.testing.assert_close(*found)


def test_info_nce_of_products_in_bf16_sums_in_float32() -> None:
    text, image = (normalize(torch.randn(300, 16)) for _ in range(2))
    wanted = info_nce(batch(text, image, scale=20.0))
    with torch.autocast("cpu", torch.bfloat16):
        found = info_nce(batch(text, image, scale=20.0))
    assert found.dtype == torch.float32 and found != wanted
    torch.testing.assert_close(found, wanted, atol=0.01, rtol=0)  # sums in bf16 are off by more than 0.05


def test_off_the_cpu_nobody_waits_for_the_largest_logit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tensors without values stand for those of a GPU: each axis starts from its own largest logit, however large."""
    taken: list[torch.device] = []
    monkeypatch.setattr(losses, "sum_each_way", lambda *given: taken.append(given[0].device) or sum_each_way(*given))  # type: ignore[func-returns-value]
    text, image = (torch.ones(4, 3, device="meta", requires_grad=True) for _ in range(2))
    concept, scale = torch.zeros(4, dtype=torch.long, device="meta"), torch.ones((), device="meta")
    info_nce(LossInputs(text, image, concept, scale, scale)).backward()
    assert taken == [torch.device("meta")] and text.grad is not None and text.grad.shape == text.shape


def test_a_gradient_multiplied_in_bf16_is_rounded_and_the_loss_is_not() -> None:
    rows = [normalize(torch.randn(300, 16)) for _ in range(2)]
    found = []
    for products in (None, torch.bfloat16):
        leaves = [row.clone().requires_grad_() for row in [*rows, torch.tensor(20.0)]]
        text, image, scale = leaves
        concept = torch.arange(300) // 2
        loss = info_nce(LossInputs(text, image, concept, scale, torch.zeros(()), products=products))
        loss.backward()
        assert all(leaf.grad is not None and leaf.grad.dtype == torch.float32 for leaf in leaves)
        found.append((loss.item(), *(leaf.grad for leaf in leaves)))
    exact, rounded = found
    assert exact[0] == rounded[0] and not torch.equal(exact[1], rounded[1])
    for wanted, near in zip(exact[1:], rounded[1:], strict=True):
        torch.testing.assert_close(near, wanted, rtol=0.01, atol=0.01 * wanted.abs().max().item())


@pytest.mark.parametrize("loss", sorted(LOSSES.values(), key=lambda loss: loss.__name__))
def test_members_learn_alone(loss: Callable[[LossInputs], Tensor]) -> None:
    parts = [(normalize(torch.randn(5, 3)), normalize(torch.randn(5, 3))) for _ in range(2)]
    wanted = sum(loss(batch(own, other, scale=7.0, bias=-1.0)) for own, other in parts) / 2
    text, image = (torch.cat(rows, dim=1) * 2**-0.5 for rows in zip(*parts, strict=True))
    torch.testing.assert_close(mean_over_members(loss, batch(text, image, scale=7.0, bias=-1.0), 2), wanted)
    alone = loss(batch(text, image, scale=7.0, bias=-1.0))
    torch.testing.assert_close(mean_over_members(loss, batch(text, image, scale=7.0, bias=-1.0), 1), alone)
