"""Projection heads: standardised features, dropout in training only, a gated branch where asked."""

import pytest
import torch

from polyclip.components.head import Head, left_out


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5])
def test_dropout_keeps_the_mean_and_leaves_out_its_share(share: float) -> None:
    ones = torch.ones(400, 333)
    found = left_out(ones, share)
    assert (found == 0).float().mean().item() == pytest.approx(share, abs=0.005)
    assert found.mean().item() == pytest.approx(1.0, abs=0.005)
    kept = found != 0
    assert kept.float().mean(0).std() < 0.05 and kept.float().mean(1).std() < 0.05  # no column and no row is favoured
    torch.manual_seed(5)
    again = left_out(ones, share)
    torch.manual_seed(5)
    assert torch.equal(again, left_out(ones, share))


@pytest.mark.parametrize("gated", [False, True])
def test_a_head_is_its_formula(gated: bool) -> None:
    features = torch.randn(50, 6) * torch.tensor([1.0, 5, 0.1, 2, 0, 3]) + 7
    head = Head(6, 4, 0.5, gated=gated).eval()
    head.measure(features)
    deviation = features.std(0)
    deviation[4] = 1  # a dimension that never moves
    standard = (features - features.mean(0)) / deviation
    wanted = standard @ head.linear.weight.T + head.linear.bias
    if head.branch is not None:
        gate, value = head.branch.gate(standard), head.branch.value(standard)
        wanted = wanted + head.branch.out(gate.clamp(min=0) * value)
    wanted = wanted / wanted.norm(dim=1, keepdim=True)
    torch.testing.assert_close(head(features), wanted)
    assert not torch.equal(head.train()(features), head(features))  # dropout acts in training, each time anew
