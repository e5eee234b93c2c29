import math

import pytest
import torch
from torch.nn.functional import normalize

from polyclip.losses import info_nce, mean_over_members, unit


def slow_info_nce(text: torch.Tensor, image: torch.Tensor, concept: list[int], scale: float) -> float:
    """The definition, term by term."""
    n = len(concept)
    total = 0.0
    for one, other in ((text, image), (image, text)):
        for i in range(n):
            weights = [math.exp(scale * float(one[i] @ other[j])) for j in range(n)]
            positives = [j for j in range(n) if concept[j] == concept[i]]
            total -= sum(math.log(weights[j] / sum(weights)) for j in positives) / len(positives) / n
    return total / 2


@pytest.mark.parametrize("concept", [[0, 1, 2, 3, 4], [0, 0, 1, 2, 1], [7, 7, 7, 7, 7]])
def test_info_nce_is_its_definition(concept: list[int]) -> None:
    text, image = normalize(torch.randn(5, 3), dim=1), normalize(torch.randn(5, 3), dim=1)
    found = info_nce(text, image, torch.tensor(concept), torch.tensor(9.0))
    assert found.item() == pytest.approx(slow_info_nce(text, image, concept, 9.0), rel=1e-5)


def test_info_nce_with_distinct_concepts_is_cross_entropy_both_ways() -> None:
    text, image = normalize(torch.randn(6, 4), dim=1), normalize(torch.randn(6, 4), dim=1)
    logits = 5.0 * text @ image.T
    label = torch.arange(6)
    both = (torch.nn.functional.cross_entropy(logits, label) + torch.nn.functional.cross_entropy(logits.T, label)) / 2
    torch.testing.assert_close(info_nce(text, image, label, torch.tensor(5.0)), both)


def test_captions_of_one_concept_are_no_negatives() -> None:
    """Two pairs of one concept that all point the same way: nothing is left to push apart but the mean over equals."""
    same = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    apart = info_nce(same, same, torch.tensor([0, 1]), torch.tensor(1.0, requires_grad=True))
    together = info_nce(same, same, torch.tensor([0, 0]), torch.tensor(50.0))
    assert together.item() == pytest.approx(math.log(2))
    assert apart.item() == pytest.approx(math.log(2))
    text = normalize(torch.randn(2, 3), dim=1).requires_grad_()
    info_nce(text, text.detach(), torch.tensor([0, 0]), torch.tensor(1.0)).backward()
    assert text.grad is not None and torch.isfinite(text.grad).all()


def test_unit_leaves_a_zero_row_zero() -> None:
    rows = unit(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
    torch.testing.assert_close(rows, torch.tensor([[0.6, 0.8], [0.0, 0.0]]))


def test_members_learn_alone() -> None:
    text, image = torch.randn(5, 6, requires_grad=True), torch.randn(5, 6)
    concept, scale = torch.arange(5), torch.tensor(7.0)
    wanted = (info_nce(unit(text[:, :3]), unit(image[:, :3]), concept, scale) + info_nce(unit(text[:, 3:]), unit(image[:, 3:]), concept, scale)) / 2
    found = mean_over_members(text, image, concept, scale, 2)
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(mean_over_members(text, image, concept, scale, 1), info_nce(unit(text), unit(image), concept, scale))
