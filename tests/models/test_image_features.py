"""Features of single images: read as they were kept, apart for each encoder, and damage is named."""

from pathlib import Path

import pytest
import torch

from polyclip.errors import PolyclipError
from polyclip.models.backbone import BackboneSpec
from polyclip.models.image_features import ImageFeatures


def make(identity: str, dim: int = 3, precision: str = "fp32") -> ImageFeatures:
    return ImageFeatures(
        BackboneSpec(name="toy", identity=identity * 64, dim=dim, parameters=0, embeddings=0, build=lambda: None),
        precision,
    )


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYCLIP_CACHE", str(tmp_path / "cache"))


def test_features_come_back_bit_for_bit_and_for_their_encoder_only() -> None:
    rows = torch.randn(2, 3)
    make("a").write(["one", "two"], rows)
    found = make("a").read(["two", "three", "one"])
    assert set(found) == {"one", "two"}
    assert torch.equal(found["one"], rows[0]) and torch.equal(found["two"], rows[1])
    assert make("b").read(["one"]) == make("a", precision="bf16").read(["one"]) == {}
    make("a").write(["one"], rows[1:])
    assert torch.equal(make("a").read(["one"])["one"], rows[1])


def test_damage_is_named() -> None:
    make("a").write(["one", "two"], torch.tensor([[1.0, 2.0, 3.0], [1.0, float("nan"), 0.0]]))
    with pytest.raises(PolyclipError, match=r"damaged features\. Run 'polyclip cache clear'"):
        make("a", dim=4).read(["one"])
    with pytest.raises(PolyclipError, match="damaged features"):
        make("a").read(["two"])
    make("a").path.write_bytes(b"no database" * 100)
    with pytest.raises(PolyclipError, match="Cannot keep image features in .*cache clear"):
        make("a").read(["one"])
    with pytest.raises(PolyclipError, match="Cannot keep image features in"):
        make("a").write(["one"], torch.ones(1, 3))
