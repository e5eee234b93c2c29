"""An encoder's identity, which names its features in the cache, holds everything that changes them."""

from pathlib import Path

import pytest

from polyclip.models.backbone import describe
from polyclip.models.preprocessing import Preprocessing
from polyclip.models.vision import timm as timm_encoder
from tests.toy import write_text_encoder, write_vision_tower

CHANGES = {"size": 80, "interpolation": "bilinear", "mean": (0.4, 0.5, 0.6), "std": (0.2, 0.3, 0.4)}


@pytest.mark.parametrize("name", CHANGES)
def test_pixels_of_a_timm_encoder(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tower = write_vision_tower(tmp_path)
    facts = {"size": 96, "interpolation": "bicubic", "mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
    found = []
    for changed in (facts, facts | {name: CHANGES[name]}, facts):
        monkeypatch.setattr(timm_encoder, "read_preprocessing", lambda model, own=changed: Preprocessing(**own))
        found.append(describe("towers", tower.partition(",size=")[0]).identity)
    assert found[0] == found[2] != found[1]


def test_weights_of_a_timm_encoder(tmp_path: Path) -> None:
    tower = write_vision_tower(tmp_path / "a")
    first = describe("towers", tower).identity
    assert describe("towers", tower).identity == first
    path = tmp_path / "a" / "test_efficientnet.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert describe("towers", tower).identity != first


@pytest.mark.parametrize("kind", ["efficientnet-lite0"])
def test_options_of_the_embedded_vision_encoders(kind: str) -> None:
    names = [kind, f"{kind}:,size=128", f"{kind}:,layers=3", f"{kind}:depths"]
    assert len({describe("towers", name).identity for name in names}) == len(names)


def test_options_of_text_encoders(tmp_path: Path) -> None:
    own = write_text_encoder(tmp_path)
    names = ["e5-small", "e5-small:,layers=3", "e5-small:,prefix=passage: "]
    names += [own, f"{own},pooling=cls", f"{own},prefix=query: "]
    assert len({describe("encoders", name).identity for name in names}) == len(names)
