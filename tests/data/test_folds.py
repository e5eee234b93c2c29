"""Folds of a small corpus: each image is tested once, and nothing is on two sides."""

import json
from pathlib import Path

import pytest
from PIL import Image

from polyclip.data.corpus import Corpus, load_corpus
from polyclip.data.fold_names import list_folded, name_fold, name_whole
from polyclip.data.folds import (
    Regrouped,
    assign_folds,
    check_folds,
    has_own_test,
    open_part,
    split_part,
)
from polyclip.data.splits import SPLITS
from polyclip.errors import UnknownName


def write(folder: Path, count: int = 23, **more: dict[int, str]) -> str:
    """Images of random pixels with captions in English, the first ten in Swahili too; `more` adds keys to lines."""
    folder.mkdir(exist_ok=True)
    lines = []
    for number in range(count):
        Image.effect_noise((48, 48), 90).convert("RGB").rotate(number).save(folder / f"{number}.png")
        entry = {
            "image": f"{number}.png",
            "captions": {"en": [f"a thing {number}"]} | ({"sw": ["kitu"]} if number < 10 else {}),
        }
        lines.append(json.dumps(entry | {key: own[number] for key, own in more.items() if number in own}))
    (folder / "captions.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    (folder / "corpus.toml").write_text('name = "c"\nabout = "c"\nreader = "jsonl"\nfolder = "."\n', "utf-8")
    return str(folder / "corpus.toml")


def open_folds(name: str, count: int) -> list[Corpus]:
    return [load_corpus(name_fold(name, number + 1, count)) for number in range(count)]


def members(corpus: Corpus, split: str) -> set[str]:
    return set(corpus.reader.split_concepts(corpus.folder, split))


def test_each_image_is_tested_once(tmp_path: Path, own_cache: Path) -> None:
    name = write(tmp_path)
    folds = open_folds(name, 5)
    check_folds(folds)
    tested = [one for fold in folds for one in members(fold, "test")]
    assert len(tested) == len(set(tested)) == 23
    assert sorted(len(members(fold, "test")) for fold in folds) == [4, 4, 5, 5, 5]
    for number, fold in enumerate(folds):
        parts = [members(fold, split) for split in SPLITS]
        assert sum(map(len, parts)) == 23 == len(set.union(*parts))
        assert members(fold, "validation") == members(folds[(number + 1) % 5], "test")
        rows = fold.reader.read(fold.folder, "sw", "train")
        assert {row.concept for row in rows} <= members(fold, "train") and all(row.captions for row in rows)
    with pytest.raises(UnknownName, match="dev"):
        folds[0].reader.split_concepts(tmp_path, "dev")


def test_groups_and_images_that_look_the_same_stay_together(tmp_path: Path, own_cache: Path) -> None:
    name = write(tmp_path, group={0: "g", 5: "g", 9: "g"})
    (tmp_path / "2.png").write_bytes((tmp_path / "1.png").read_bytes())
    Image.open(tmp_path / "3.png").resize((96, 96), Image.Resampling.NEAREST).save(tmp_path / "4.png")
    fold = assign_folds(load_corpus(name), 4)
    assert fold["0.png"] == fold["5.png"] == fold["9.png"]
    assert fold["1.png"] == fold["2.png"] and fold["3.png"] == fold["4.png"]
    check_folds(open_folds(name, 4))


def test_what_is_on_two_sides_is_found(tmp_path: Path, own_cache: Path) -> None:
    corpus = load_corpus(write(tmp_path, count=6, group={0: "g", 3: "g"}))
    good = {"train": ("0.png", "3.png"), "validation": ("1.png",), "test": ("2.png",)}

    def part(**members: tuple[str, ...]) -> Corpus:
        opened = open_part(corpus, "all")
        opened.reader = Regrouped(corpus.reader, good | members)
        return opened

    with pytest.raises(RuntimeError, match="group g is in train and test of fold 1"):
        check_folds([part(train=("0.png",), test=("3.png",))])
    with pytest.raises(RuntimeError, match=r"^(concept|group|image) \S+ is tested in folds 1 and 2 of 'c'"):
        check_folds([part(), part()])
    with pytest.raises(RuntimeError, match="is in no fold"):
        check_folds([part()])


def test_the_whole_holds_nothing_out(tmp_path: Path, own_cache: Path) -> None:
    name = write(tmp_path)
    whole = load_corpus(name_whole(name))
    assert len(members(whole, "train")) == 23 and len(whole.reader.read(whole.folder, "sw", "train")) == 10
    assert whole.name == "c" and whole.get_locale.__self__ is whole
    assert len(members(load_corpus(name), "train")) < 23  # the corpus itself is as it was


def test_a_split_of_its_own(tmp_path: Path) -> None:
    assert not has_own_test(load_corpus(write(tmp_path / "hash")))
    assert has_own_test(load_corpus(write(tmp_path / "own", split={n: "test" for n in range(23) if n % 2})))
    assert not has_own_test(load_corpus(write(tmp_path / "none", split=dict.fromkeys(range(23), "train"))))
    assert has_own_test(load_corpus("emoji")) is False


def test_names_of_parts() -> None:
    assert split_part("a#1/c.toml#fold-2-of-5") == ("a#1/c.toml", "fold-2-of-5")
    assert split_part("c.toml#all") == ("c.toml", "all")
    for whole in ("emoji", "a#1/c.toml", "c.toml#fold-0-of-5", "c.toml#fold-2", "#all"):
        assert split_part(whole) == (whole, "")


def test_of_several_corpora_the_small_ones_are_in_folds(tmp_path: Path) -> None:
    ours = tmp_path / "ours"
    ours.mkdir()
    for number in range(12):
        Image.new("RGB", (8, 8 + number), (20 * number, 0, 0)).save(ours / f"{number}.png")
    lines = [json.dumps({"image": f"{number}.png", "captions": {"sw": [f"picha {number}"]}}) for number in range(12)]
    (ours / "captions.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    pack = ours / "corpus.toml"
    pack.write_text('name = "ours"\nabout = ""\nreader = "jsonl"\nfolder = "."\n', "utf-8")
    together = f"emoji + {pack}[sw]=3"
    assert list_folded(together) == [str(pack)] and list_folded("emoji") == ["emoji"]
    assert name_whole(together) == f"emoji + {pack}#all[sw]=3" and name_fold("emoji", 2, 5) == "emoji#fold-2-of-5"
    whole, own = load_corpus(together), set[str]()
    for number in (1, 2, 3):
        part = load_corpus(name_fold(together, number, 3))
        tested = part.reader.split_concepts(part.folder, "test")
        emoji = {name for name in tested if name.startswith("emoji:")}
        assert emoji == {
            name for name in whole.reader.split_concepts(whole.folder, "test") if name.startswith("emoji:")
        }
        assert not own & (set(tested) - emoji)
        own |= set(tested) - emoji
    assert own == {f"ours:{number}.png" for number in range(12)}
