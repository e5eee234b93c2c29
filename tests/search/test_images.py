"""Every image is decoded once, or not at all: for a search of a folder, its labels, an index, and the next model."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from polyclip.data import images as image_module
from polyclip.models.aligner import PolyCLIP, load_model
from polyclip.models.config import ModelConfig
from polyclip.search import _images
from polyclip.search._images import embed_files
from polyclip.search.folder import search
from polyclip.search.gallery import load_gallery
from polyclip.search.index import update_index
from tests.command import polyclip
from tests.toy import write_text_encoder, write_vision_tower


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run of toy towers, and an empty cache."""
    monkeypatch.setenv("POLYCLIP_CACHE", str(tmp_path / "cache"))
    text, vision = write_text_encoder(tmp_path / "xlm-r"), write_vision_tower(tmp_path)
    model = PolyCLIP(ModelConfig(text_encoder=text, vision_tower=vision, method="heads", dim=8)).eval()
    (tmp_path / "run").mkdir()
    model.save(tmp_path / "run" / "aligner.safetensors")
    return tmp_path / "run"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Five images in six files, and two files of the same bytes that are no image."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(5):
        pixels = np.random.default_rng(number).integers(0, 255, (24, 24, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    (folder / "copy.png").write_bytes((folder / "2.png").read_bytes())
    (folder / "bad.png").write_bytes(b"no image")
    (folder / "worse.png").write_bytes(b"no image")
    return folder


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each file was decoded."""
    counts: Counter[str] = Counter()
    decode = image_module.decode_image

    def count(data: bytes, where: str) -> Any:
        counts[Path(where).name] += 1
        return decode(data, where)

    monkeypatch.setattr(image_module, "decode_image", count)
    return counts


def total(decoded: Counter[str]) -> int:
    """All decodings since the last call, none of a file twice."""
    assert not decoded or max(decoded.values()) == 1
    count = sum(decoded.values())
    decoded.clear()
    return count


def test_a_search_decodes_each_image_once_and_the_next_one_none(run: Path, photos: Path, decoded: Counter[str]) -> None:
    found = search("mbwa", photos, run, 10)
    assert total(decoded) == 6  # five images, and once the bytes that are none
    assert found.searched == 6 and len(found.problems) == 2
    assert [name in said for name, said in zip(("bad.png", "worse.png"), found.problems, strict=True)] == [True, True]
    again = search("paka", photos, run, 10)
    assert total(decoded) == 1 and again.problems == found.problems
    assert {hit.path.name for hit in again.hits} == {"copy.png", *(f"{number}.png" for number in range(5))}
    assert len(load_gallery(photos, run).paths) == 6 and total(decoded) == 1


def test_an_index_and_a_search_share_what_they_decoded(run: Path, photos: Path, decoded: Counter[str]) -> None:
    changes = update_index(photos, run, photos / ".polyclip-index")
    assert total(decoded) == 6 and (changes.encoded, len(changes.problems)) == (5, 2)
    search("mbwa", photos, run, 3)
    assert total(decoded) == 1
    (photos / "new.png").write_bytes((photos / "3.png").read_bytes() + b" ")
    search("mbwa", photos, run, 3)
    assert total(decoded) == 2
    assert update_index(photos, run, photos / ".polyclip-index").encoded == 1 and total(decoded) == 1


def test_embeddings_are_those_of_the_model_in_batches_too(
    run: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_images, "BATCH", 2)
    paths = sorted(photos.iterdir())
    aligner = load_model(run)
    found, embeddings, problems = embed_files(aligner, paths, "images")
    assert [path.name for path in found] == ["0.png", "1.png", "2.png", "3.png", "4.png", "copy.png"]
    assert [said.split(":")[0] for said in problems] == [str(photos / "bad.png"), str(photos / "worse.png")]
    torch.testing.assert_close(embeddings, aligner.encode_image(list(found)))
    assert torch.equal(embeddings[2], embeddings[5])


def test_nothing_readable_gives_no_embedding(run: Path, photos: Path) -> None:
    found, embeddings, problems = embed_files(load_model(run), [photos / "bad.png", photos / "gone.png"], "images")
    assert found == [] and embeddings.shape == (0, 8) and len(problems) == 2


def test_duplicates_by_a_model_decode_each_image_once(run: Path, photos: Path, decoded: Counter[str]) -> None:
    disc = Image.open(photos / "1.png").resize((200, 200), Image.Resampling.BICUBIC)
    disc.save(photos / "disc.png")
    disc.resize((400, 400)).save(photos / "larger.png")
    said = json.loads(polyclip("dedupe", photos, "--model", run, "--threshold", 1, "--json").out)
    groups = [set(group["pictures"]) for group in said["groups"]]
    assert any({"2.png", "copy.png"} <= group for group in groups), groups
    assert any({"disc.png", "larger.png"} <= group for group in groups), groups
    assert said["skipped"]
    bad = decoded.pop("bad.png", 0) + decoded.pop("worse.png", 0)
    assert total(decoded) == 7 and bad <= 2  # what is no image is tried again
    polyclip("dedupe", photos)
    del decoded["bad.png"], decoded["worse.png"]
    assert total(decoded) == 0
