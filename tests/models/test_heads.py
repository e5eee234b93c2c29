"""Projection heads: standardised features, dropout in training only, a gated branch where asked."""

import pytest
import torch

from polyclip.models.components.heads import Head, HeadShape
from polyclip.models.components.members import apply_dropout, compute_gain, draw_mask


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5])
def test_dropout_keeps_the_mean_and_leaves_out_its_share(share: float) -> None:
    def drop() -> torch.Tensor:
        values = torch.full((400, 333), compute_gain(share))
        return apply_dropout(values, draw_mask((400, 333), share, torch.device("cpu")))

    torch.manual_seed(5)
    found = drop()
    assert (found == 0).float().mean().item() == pytest.approx(share, abs=0.005)
    assert found.mean().item() == pytest.approx(1.0, abs=0.005)
    kept = found != 0
    assert kept.float().mean(0).std() < 0.05 and kept.float().mean(1).std() < 0.05  # no column and no row is favoured
    torch.manual_seed(5)
    assert torch.equal(drop(), found)


@pytest.mark.parametrize("kind", ["plain", "with a gradient", "of bfloat16"])
def test_dropout_is_a_product_with_the_mask(kind: str) -> None:
    dtype = torch.bfloat16 if kind == "of bfloat16" else torch.float32
    values = torch.randn(7, 5).to(dtype).requires_grad_(kind == "with a gradient")
    mask = torch.rand(7, 5) < 0.6
    found = apply_dropout(values, mask)
    assert found.dtype == dtype and torch.equal(found, values * mask)
    if values.requires_grad:
        found.sum().backward()
        assert values.grad is not None and torch.equal(values.grad, mask.float())


def test_members_in_training_see_their_own_masks() -> None:
    head = Head(6, HeadShape(4, False, 3), 0.5).train()
    features, masks = torch.randn(9, 6), head.draw_masks(9)
    assert not torch.equal(masks[0], masks[1])
    wanted = [
        torch.nn.functional.normalize(member.linear(2 * features * mask), dim=1)  # type: ignore[operator]
        for member, mask in zip(head.members, masks, strict=True)
    ]
    torch.testing.assert_close(head(features, masks), torch.cat(wanted, dim=1) / 3**0.5)


@pytest.mark.parametrize("shape", [HeadShape(16, False, 3), HeadShape(16, True, 2)])
def test_members_under_autocast_are_those_of_float32_but_for_rounding(shape: HeadShape) -> None:
    head = Head(48, shape, 0.5).train()
    features, masks = torch.randn(9, 48), head.draw_masks(9)
    with torch.autocast("cpu", torch.bfloat16):
        found = head(features, masks)
    wanted = head(features, masks)
    assert found.dtype == torch.float32 and not torch.equal(found, wanted)  # products were rounded, lengths were not
    torch.testing.assert_close(found, wanted, atol=0.02, rtol=0)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(9))


@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("members", [1, 3])
def test_a_head_is_its_formula(gated: bool, members: int) -> None:
    features = torch.randn(50, 6) * torch.tensor([1.0, 5, 0.1, 2, 0, 3]) + 7
    head = Head(6, HeadShape(4, gated, members), 0.5).eval()
    head.measure(features)
    deviation = features.std(0)
    deviation[4] = 1  # a dimension that never moves
    standard = (features - features.mean(0)) / deviation
    wanted = []
    for member in head.members:
        projected = standard @ member.linear.weight.T + member.linear.bias
        if gated:
            projected = projected + member.branch.out(
                member.branch.gate(standard).clamp(min=0) * member.branch.value(standard)
            )
        wanted.append(projected / projected.norm(dim=1, keepdim=True))
    torch.testing.assert_close(head(features), torch.cat(wanted, dim=1) / members**0.5)
    torch.testing.assert_close(head(features).norm(dim=1), torch.ones(50))
    assert not torch.equal(head.train()(features), head(features))  # dropout acts in training, each time anew


def test_the_cosine_of_a_head_is_the_mean_of_its_members_cosines() -> None:
    head = Head(6, HeadShape(4, True, 2), 0.0).eval()
    one, other = torch.randn(5, 6), torch.randn(5, 6)
    members = [(member(one) * member(other)).sum(1) for member in head.members]
    torch.testing.assert_close((head(one) * head(other)).sum(1), torch.stack(members).mean(0))
