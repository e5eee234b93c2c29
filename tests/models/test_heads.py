"""Projection heads: standardised features, dropout in training only, a gated branch where asked."""

import pytest
import torch

from polyclip.models.components.heads import Head, HeadShape, apply_dropout


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5])
def test_dropout_keeps_the_mean_and_leaves_out_its_share(share: float) -> None:
    ones = torch.ones(400, 333)
    found = apply_dropout(ones, share)
    assert (found == 0).float().mean().item() == pytest.approx(share, abs=0.005)
    assert found.mean().item() == pytest.approx(1.0, abs=0.005)
    kept = found != 0
    assert kept.float().mean(0).std() < 0.05 and kept.float().mean(1).std() < 0.05  # no column and no row is favoured
    torch.manual_seed(5)
    again = apply_dropout(ones, share)
    torch.manual_seed(5)
    assert torch.equal(again, apply_dropout(ones, share))


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
