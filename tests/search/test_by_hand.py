"""Parts of the search whose answers can be worked out by hand."""

from pathlib import Path

import pytest
import torch

from polyclip.models.aligner import PolyCLIP
from polyclip.models.config import ModelConfig
from polyclip.search.classify import compute_shares
from polyclip.search.duplicates import find_similar_pairs
from tests.toy import write_text_encoder, write_vision_tower


def test_images_at_the_threshold_are_duplicates_and_those_below_are_not() -> None:
    rows = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.5, 0.75**0.5], [0.0, 1.0]])
    assert list(find_similar_pairs(rows, 1.0)) == [(0, 1, 1.0)]
    assert [pair[:2] for pair in find_similar_pairs(rows, 0.5)] == [(0, 1), (2, 3), (0, 2), (1, 2)]


def test_shares_are_the_softmax_at_the_models_temperature(tmp_path: Path) -> None:
    towers = {"text_encoder": write_text_encoder(tmp_path / "t"), "vision_tower": write_vision_tower(tmp_path / "v")}
    model = PolyCLIP(ModelConfig(method="heads", dim=8, **towers))
    with torch.no_grad():
        model.log_scale.fill_(torch.tensor(10.0).log())
    shares = compute_shares(model, torch.tensor([[0.3, 0.1], [0.0, 0.0]]))
    assert shares[0, 0].item() == pytest.approx(1 / (1 + torch.tensor(-2.0).exp().item()), abs=1e-5)
    assert shares[1].tolist() == pytest.approx([0.5, 0.5])
