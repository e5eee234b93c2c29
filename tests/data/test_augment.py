"""Augmented views: drawn once from the picture's own key, in training alone."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from polyclip.data.augment import SCALE, TURN, make_augmentation
from polyclip.data.corpus import Corpus, load_corpus
from polyclip.data.images import make_image_source
from polyclip.data.pairs import AddedLanguages, Pairs, SamplingConfig
from polyclip.data.training_pairs import make_training_pairs
from polyclip.data.types import ImageSource
from polyclip.languages.resolve import resolve_language
from tests.command import polyclip
from tests.toy import write_corpus, write_text_encoder, write_vision_tower


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("toy")
    write_corpus(folder)
    return folder


@pytest.fixture(scope="module")
def corpus(folder: Path) -> Corpus:
    return load_corpus(str(folder / "toy.toml"))


@pytest.fixture
def square(folder: Path) -> ImageSource:
    return make_image_source(folder / "red-middle.png")


def pixels(picture: ImageSource) -> np.ndarray:
    return np.asarray(picture.open())


def test_view_0_is_the_picture_itself(square: ImageSource) -> None:
    assert make_augmentation(square, 0) is square


def test_views_are_drawn_from_the_pictures_own_key(square: ImageSource, folder: Path) -> None:
    once, again = ([make_augmentation(square, number) for number in range(1, 6)] for _ in range(2))
    for one, other in zip(once, again, strict=True):
        assert (
            one.key == other.key
            and np.array_equal(pixels(one), pixels(other))
            and np.array_equal(pixels(one), pixels(one))
        )
    moved = make_image_source(folder / "blue-middle.png")
    assert (
        len({v.key for v in once} | {square.key} | {make_augmentation(moved, number).key for number in range(1, 6)})
        == 11
    )
    drawn = {pixels(v).tobytes() for v in once} | {pixels(square).tobytes()}
    assert len(drawn) == 6  # no view is another, nor the picture
    assert all(v.name.startswith(square.name) and v.name != square.name for v in once)


def test_views_crop_turn_and_flip_within_their_bounds() -> None:
    """A picture that is dark on its left and red all over: where the dark side lies says whether it was flipped."""
    image = Image.new("RGB", (100, 80), (200, 0, 0))
    image.paste((100, 0, 0), (0, 0, 50, 80))
    flipped = 0
    areas = []
    for number in range(100):
        found = make_augmentation(ImageSource("p", f"key {number}", lambda: image), 1).open()
        assert found.mode == "RGB"
        areas.append(found.width * found.height / 8000)
        assert abs(found.width / found.height - 100 / 80) < 0.06  # the shape stays
        array = np.asarray(found).astype(int)
        colours = {(int(r) // 8, int(g) // 128, int(b) // 128) for r, g, b in array.reshape(-1, 3)}
        assert {(25, 0, 0)} <= colours or {(12, 0, 0)} <= colours  # neither colour is shifted
        middle = array[array.shape[0] // 2, :, 0]
        flipped += middle[5:15].mean() > middle[-15:-5].mean()
    assert SCALE[0] - 0.03 < min(areas) < 0.6 and 0.9 < max(areas) <= SCALE[1]
    assert 25 < flipped < 75
    assert 0 < TURN <= 20


def test_what_a_turn_uncovers_is_white() -> None:
    black = Image.new("RGB", (60, 60), "black")
    corners = [
        np.asarray(make_augmentation(ImageSource("p", f"key {number}", lambda: black), 1).open())[
            [0, 0, -1, -1], [0, -1, 0, -1]
        ]
        for number in range(40)
    ]
    assert max(corner.max() for corner in corners) == 255


def owners(pairs: Pairs) -> dict[int, int]:
    return {row: concept for concept, rows in enumerate(pairs.image_rows.tolist()) for row in rows if row >= 0}


@pytest.mark.parametrize("name", ["toy", "emoji"])
def test_training_pairs_have_every_view_of_every_picture(corpus: Corpus, name: str) -> None:
    used = corpus if name == "toy" else load_corpus("emoji")
    languages = [resolve_language("sw"), resolve_language("en")]
    plain, tripled = (make_training_pairs(used, languages, "train", SamplingConfig(views=views)) for views in (1, 3))
    assert len(tripled.images) == 3 * len(plain.images) > 0
    assert torch.equal(tripled.image_count, 3 * plain.image_count)
    assert sum(tripled.sections[1]) == len(tripled.images) and len(tripled.sections[1]) == 3 * len(plain.sections[1])
    assert (tripled.captions, tripled.sections[0], tripled.named, tripled.concepts) == (
        plain.captions,
        plain.sections[0],
        plain.named,
        plain.concepts,
    )
    owner, own = owners(tripled), owners(plain)
    assert sorted(owner) == list(range(len(tripled.images)))
    wanted = Counter(
        (concept, make_augmentation(plain.images[row], number).key)
        for row, concept in own.items()
        for number in range(3)
    )
    assert Counter((concept, tripled.images[row].key) for row, concept in owner.items()) == wanted
    start = 0
    originals = {picture.key for picture in plain.images}
    for place, length in enumerate(
        tripled.sections[1]
    ):  # a section holds one style in one view: it is found in the cache again
        keys = [picture.key for picture in tripled.images[start : start + length]]
        assert (set(keys) <= originals) == (place % 3 == 0)
        start += length


def test_augmented_pictures_are_drawn_in_training(corpus: Corpus) -> None:
    pairs = make_training_pairs(corpus, [resolve_language("en")], "train", SamplingConfig(views=3))
    owner = owners(pairs)
    caption, picture, concept = pairs.sample(20, 3)
    assert [owner[row] for row in picture.tolist()] == concept.tolist() == pairs.caption_concept[caption].tolist()
    drawn = {row for seed in range(60) for row in pairs.sample(20, seed)[1].tolist()}
    assert len(drawn) == len(pairs.images)


def test_a_run_with_views_trains_on_them_and_validates_on_pictures_alone(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from polyclip.training import prepare

    asked: list[tuple[str, int, int]] = []

    def spy(
        corpus: Corpus,
        languages: list[object],
        split: str,
        sample: SamplingConfig,
        chosen: AddedLanguages | None = None,
    ) -> Pairs:
        found = make_training_pairs(corpus, languages, split, sample, chosen)  # type: ignore[arg-type]
        asked.append((split, sample.views, sum("(view" in picture.name for picture in found.images)))
        return found

    monkeypatch.setattr(prepare, "make_training_pairs", spy)
    encoder, tower = write_text_encoder(tmp_path / "text"), write_vision_tower(tmp_path)
    common = [
        "--lang",
        "sw",
        "--corpus",
        folder / "toy.toml",
        "--text-encoder",
        encoder,
        "--vision-tower",
        tower,
        "--epochs",
        1,
        "--head-dim",
        8,
    ]
    said = polyclip("align", *common, "--method", "heads", "--num-augmentations", 2, "--out", tmp_path / "run")
    assert said.code == 0, said.err
    assert asked == [("train", 2, 12), ("validation", 1, 0)]
    assert "views = 2" in (tmp_path / "run" / "run.toml").read_text("utf-8")
    assert json.loads((tmp_path / "run" / "result.json").read_text("utf-8"))["run"]["sample"]["views"] == 2
    inside = polyclip(
        "align",
        *common,
        "--method",
        "lilt-da",
        "--num-augmentations",
        2,
        "--batch-size",
        8,
        "--out",
        tmp_path / "inside",
    )
    assert inside.code == 0, inside.err


def test_no_view_at_all_is_refused(folder: Path, tmp_path: Path) -> None:
    said = polyclip("align", "--lang", "sw", "--num-augmentations", 0, "--out", tmp_path / "run")
    assert said.code == 2 and "augmentations" in said.err and not (tmp_path / "run").exists()
