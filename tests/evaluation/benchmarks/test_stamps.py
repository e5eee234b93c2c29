"""Tux Paint's stamps: a few made in the layout of the package, and the package itself where it is installed."""

import hashlib
from pathlib import Path

import pytest
from PIL import Image

from polyclip.errors import DataError, UnknownName
from polyclip.evaluation.benchmarks import tuxpaint_stamps
from polyclip.evaluation.retrieval import Request

SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="100pt" height="50pt"><rect width="100" height="50" '
    'fill="#00f"/></svg>'
)


def stamp(root: Path, key: str, text: str, svg: str = "") -> None:
    """One stamp below the stamps' folder: a PNG, or the SVG that is given."""
    path = root / tuxpaint_stamps.INSIDE / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".txt").write_text(text, "utf-8")
    if svg:
        path.with_suffix(".svg").write_text(svg, "utf-8")
    else:
        Image.new("RGBA", (8, 8), (0, 0, 0, 0)).save(path.with_suffix(".png"))


def both(root: Path) -> dict[str, tuxpaint_stamps.Stamp]:
    """Stamps of both splits, by key."""
    return {
        one.key: one
        for split in ("validation", "test")
        for one in tuxpaint_stamps.read(Request(data=root, split=split))
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    others = "zh_TW.utf8=動物\nen_GB.utf8=Beast.\nsr@latin.utf8=Životinja.\nhi.utf8=\n"
    for number in range(12):  # enough for both splits
        stamp(tmp_path, f"animals/{number}", f"Animal {number}.\nsw.utf8=Mnyama {number}.\n{others}")
    stamp(tmp_path, "town/house", "A house.\nde.utf8=Ein Haus.\n", SVG)
    stamp(tmp_path, "symbols/alphabets/a", "The letter A.\n")
    stamp(tmp_path, "town/again", "Animal 3.\n")
    return tmp_path


def test_stamps_are_read_with_their_languages_and_kinds(folder: Path) -> None:
    found = both(folder)
    assert set(found) == {f"animals/{number}" for number in range(12)} | {
        "town/house"
    }  # no letter, no second stamp of a sentence
    assert found["animals/3"].captions == {
        "en": "Animal 3.",
        "sw": "Mnyama 3.",
        "zh-Hant": "動物",
        "en-GB": "Beast.",
        "sr-Latn": "Životinja.",
    }
    assert (found["animals/3"].kind, found["town/house"].kind) == ("photographs", "drawings")
    for key, one in found.items():
        assert one.split == (
            "validation" if int(hashlib.md5(key.encode()).hexdigest()[:16], 16) % 5 in (0, 1) else "test"
        )
    assert both(folder / tuxpaint_stamps.INSIDE).keys() == found.keys()  # the stamps' own folder will do


def test_what_is_transparent_and_what_is_measured_in_points_is_drawn_on_white(folder: Path) -> None:
    found = both(folder)
    assert tuxpaint_stamps.make_image(found["animals/3"]).open().getpixel((4, 4)) == (255, 255, 255)
    house = tuxpaint_stamps.make_image(found["town/house"]).open()
    assert house.width == tuxpaint_stamps.PIXELS and 250 < house.height < 262 and house.getpixel((5, 5)) == (0, 0, 255)


def test_a_drawing_that_cannot_be_drawn_is_named_and_left_out(folder: Path) -> None:
    stamp(folder, "town/broken", "A ruin.\n", "<svg>")
    kept, unread = tuxpaint_stamps.drop_unreadable(list(both(folder).values()))
    assert len(kept) == 13 and len(unread) == 1 and "town/broken.svg: cannot be rendered" in unread[0]


def test_an_image_outside_the_folder_is_not_read(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside") / "secret.png"
    Image.new("RGB", (4, 4)).save(outside)
    place = folder / tuxpaint_stamps.INSIDE / "town"
    (place / "linked.png").symlink_to(outside)
    (place / "linked.txt").write_text("A secret.\n", "utf-8")
    assert "town/linked" not in both(folder)


def test_bad_folders_and_splits_are_one_sentence(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="requires --data DIR"):
        tuxpaint_stamps.read(Request(split="test"))
    with pytest.raises(UnknownName, match="split of tuxpaint-stamps"):
        tuxpaint_stamps.read(Request(data=folder, split="train"))
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DataError, match="has no stamps: expected usr/share/tuxpaint/stamps"):
        tuxpaint_stamps.read(Request(data=empty, split="test"))
    (folder / tuxpaint_stamps.INSIDE / "town" / "house.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match=r"house\.txt: cannot be read as UTF-8"):
        both(folder)


def test_another_number_of_stamps_is_said() -> None:
    assert tuxpaint_stamps.describe_counts(285, "validation") == []
    assert tuxpaint_stamps.describe_counts(12, "test") == [
        "12 stamps, where version 2022.06.04 of the package has 422: figures of the two cannot be compared"
    ]
