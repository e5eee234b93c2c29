"""The leakage lint: real images and captions, planted leaks of every kind, and what must not count as one."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from polyclip.data import image_hash
from polyclip.data.corpus import load_corpus
from polyclip.data.image_hash import find_near, hash_images
from polyclip.data.images import make_image_source
from polyclip.errors import DataError, UnknownName
from polyclip.evaluation.leakage.compare import (
    Leak,
    compare,
    find_leaks,
    identify_file,
    list_known_names,
    load_overlaps,
    refuse_leaks,
    to_record,
)
from polyclip.evaluation.leakage.sources import (
    DatasetContents,
    collect_contents,
    collect_corpus,
    collect_folder,
    normalize_name,
)
from polyclip.languages.resolve import resolve_language
from tests.command import polyclip

CORPUS = load_corpus("emoji")
NOTO = CORPUS.reader.pictures(CORPUS.folder, "noto")
SW = resolve_language("sw")
NAMES = {row.concept: row.captions[0] for row in CORPUS.reader.read(CORPUS.folder, "sw", "train")}
CONCEPTS = [concept for concept in NAMES if concept in NOTO][::60][:12]


def write_train(folder: Path) -> Path:
    """Twelve emoji with their Swahili names, a folder as people train on."""
    folder.mkdir(parents=True)
    lines = []
    for concept in CONCEPTS:
        NOTO[concept].open().save(folder / f"{concept}.png")
        lines.append(
            json.dumps(
                {"image": f"{concept}.png", "captions": {"sw": [NAMES[concept]]}, "split": "train"}, ensure_ascii=False
            )
        )
    (folder / "captions.jsonl").write_text("\n".join(lines), "utf-8")
    return folder


@pytest.fixture(scope="module")
def train(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_train(tmp_path_factory.mktemp("train") / "mine")


def of(text: Path | str, split: str = "train") -> DatasetContents:
    return collect_contents(str(text), split, [], list_known_names())


def kinds(found: list[Leak]) -> list[str]:
    return sorted(leak.kind for leak in found)


def test_the_starter_corpus_shares_nothing_between_its_splits() -> None:
    for first, second in (("train", "test"), ("train", "validation"), ("validation", "test")):
        found = compare(collect_corpus(CORPUS, first, [SW]), collect_corpus(CORPUS, second, [SW]))
        assert found.leaks == []
        refuse_leaks([found])
    assert found.compared["concepts"][1] > 355 and found.compared["pictures"] == [603, 1229]
    assert 0 < found.captions["shared"] < found.captions["captions"]  # words of several things: counted, no leak


def test_one_drawing_under_two_names_is_named_and_refused() -> None:
    flag = CORPUS.reader.pictures(CORPUS.folder, "openmoji")["1F1E6-1F1FA"]
    found = compare(
        DatasetContents(name="mine", labels=frozenset(), images=[flag]), collect_corpus(CORPUS, "test", [SW])
    )
    assert [(leak.kind, leak.other) for leak in found.leaks] == [("identical picture", "1F1E6-1F1FA")]
    with pytest.raises(
        DataError, match=r"emoji \(test\) is not unseen: 1 leaks from mine, the first: identical picture"
    ):
        refuse_leaks([found])
    refuse_leaks([found], "drawings")


def test_a_concept_on_both_sides_of_a_split_is_a_leak(train: Path) -> None:
    found = find_leaks(of(train), of(train, "all"))
    assert {leak.train for leak in found if leak.kind == "concept"} == {f"{concept}.png" for concept in CONCEPTS}
    assert sum(leak.kind == "identical picture" for leak in found) == 12


def test_pictures_that_were_resized_compressed_or_renamed(train: Path, tmp_path: Path) -> None:
    images = [NOTO[concept].open() for concept in CONCEPTS]
    images[0].resize((300, 300)).save(tmp_path / "larger.png")
    images[1].save(tmp_path / "compressed.jpg", quality=95)
    (tmp_path / "copy.png").write_bytes((train / f"{CONCEPTS[2]}.png").read_bytes())
    images[3].crop((20, 20, 100, 100)).save(tmp_path / "part.png")
    NOTO["1F415"].open().save(tmp_path / "another.png")
    found = {Path(leak.other).name: leak for leak in find_leaks(of(train), of(tmp_path))}
    assert {name: (leak.kind, Path(leak.train).stem) for name, leak in found.items()} == {
        "larger.png": ("near duplicate", CONCEPTS[0]), "compressed.jpg": ("near duplicate", CONCEPTS[1]),
        "copy.png": ("identical picture", CONCEPTS[2]),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("first", "second"), [("1F49A", "1F90E"), ("1F7E2", "1F7E4"), ("1F4D7", "1F4D9"), ("1F534", "1F7E4")]
)
def test_another_colour_is_another_picture(first: str, second: str) -> None:
    pair = hash_images([NOTO[first], NOTO[second]], "pictures")
    assert next(find_near(pair.bits[:1], pair.bits[1:]))[2] <= 8  # the hash alone would say that they are the same
    assert not image_hash.is_same_image(NOTO[first], NOTO[second], {})


def test_near_is_the_slow_definition_nearest_first() -> None:
    generator = np.random.default_rng(0)
    first, second = (generator.integers(0, 256, (rows, 32), dtype=np.uint8) for rows in (40, 700))
    second[::7] = first[generator.integers(0, 40, 100)] ^ (generator.random((100, 32)) < 0.05).astype(np.uint8)
    apart = np.unpackbits(first[None] ^ second[:, None], axis=2).sum(2)
    found = list(find_near(first, second, 40))
    assert {(row, column) for column, row, _ in found} == set(zip(*np.nonzero(apart <= 40), strict=True)) and len(
        found
    ) >= 100
    assert all(bits == apart[row, column] for column, row, bits in found)
    assert all(a[1] < b[1] or (a[1] == b[1] and a[2] <= b[2]) for a, b in pairwise(found))


def test_hashes_are_kept_by_what_a_file_holds(train: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = [make_image_source(path) for path in sorted(train.glob("*.png"))]
    first = hash_images(pictures, "pictures")
    monkeypatch.setattr(image_hash, "hash_image", lambda picture: pytest.fail(f"{picture.name} was hashed again"))
    again = hash_images(pictures[::-1], "pictures")
    assert (again.bits[::-1] == first.bits).all() and len(first.bits) == 12
    (own_cache / "hashes" / "phash-256-2.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(Exception, match="Cannot store image hashes"):
        hash_images(pictures, "pictures")


def test_a_picture_that_cannot_be_read_is_named(train: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff no image")
    (tmp_path / "notes.pdf").write_bytes(b"")
    NOTO["1F415"].open().save(tmp_path / "fine.png")
    found = compare(of(train), of(tmp_path))
    assert found.leaks == []
    assert any(note.startswith("not compared") and "broken.jpg" in note for note in found.notes) and any(
        "notes.pdf" in note for note in found.notes
    )


def test_names_of_files_tell_pictures_that_are_not_at_hand(tmp_path: Path) -> None:
    """XTD10's list of names beside a folder of COCO, in the names of either release."""
    (tmp_path / "pictures").mkdir()
    for number, name in enumerate(("COCO_train2014_000000436508.jpg", "000000341725.jpg", "1.jpg")):
        NOTO[CONCEPTS[number]].open().save(tmp_path / "pictures" / name)
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "test_image_names.txt").write_text(
        "COCO_train2014_000000436508.jpg\nCOCO_val2014_000000341725.jpg\n1.jpg"
    )
    found = find_leaks(collect_folder(tmp_path / "pictures", "pictures"), collect_folder(tmp_path / "lists", "lists"))
    assert [(leak.kind, leak.detail) for leak in found] == [
        ("file name", "coco 000000341725"),
        ("file name", "coco 000000436508"),
    ]
    names = ("a/1007129816.jpg", "000411001ff7dd4f.jpg", "dog-12.png", "1F468-200D-1F9B3")
    assert [identify_file(name) for name in names] == [
        "1007129816", "000411001ff7dd4f", "", "",
    ]  # fmt: skip


def test_the_same_name_of_different_pictures_is_no_leak(tmp_path: Path) -> None:
    for side, concept in (("one", CONCEPTS[0]), ("two", CONCEPTS[1])):
        (tmp_path / side).mkdir()
        NOTO[concept].open().save(tmp_path / side / "000000000001.jpg")
    found = compare(of(tmp_path / "one"), of(tmp_path / "two"))
    assert found.leaks == [] and any("1 file names are the same" in note for note in found.notes)


def said(captions: dict[str, list[str]]) -> DatasetContents:
    return DatasetContents(name="captions", labels=frozenset(), captions=captions)


def test_words_are_counted_and_sentences_leak() -> None:
    words = {"sw": list(NAMES.values())[:300]}
    short = compare(said(words), said({"sw": [text.upper() + " " for text in words["sw"]]}))
    assert short.captions["shared"] == short.captions["captions"] > 250
    sentences = [f"mtu wa {number} anapanda baiskeli barabarani karibu na mto" for number in range(100)]
    spelt = [f"person {number} rides a bicycle on the road, near a river" for number in range(100)]
    for mine, theirs, shared in (
        ({"sw": sentences}, {"sw": sentences[:50] + spelt[:50]}, 50),
        ({"sw": sentences}, {"en": sentences[:50]}, 0),  # another language: the same letters, not the same caption
        ({"": sentences}, {"sw": sentences[:50]}, 50),
        ({"sw": sentences, "en": spelt}, {"": spelt[:50]}, 50),
        ({"sw": sentences}, {"sw": sentences[:5] + spelt}, 5),  # one in twenty: people write the same sentence
    ):
        found = compare(said(mine), said(theirs))
        assert found.captions["shared_sentences"] == shared, (mine.keys(), theirs.keys())
        assert kinds(found.leaks) == (["captions"] if shared == 50 else [])


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        ("coco-train2014", "xtd10", "800 of the 1,000"),
        ("COCO", "XTD200", "all 1,000 pictures"),
        ("xtd-10", "xtd200", "the same 1,000 pictures"),
        ("multi30k_2016", "Flickr30k-200", "Multi30k's test of 2016"),
        ("flickr30k-200", "xFlickrCO", "1,000 of the 2,000"),
        ("Open Images", "xm3600", "3,600 pictures are of Open Images"),
        ("babel-imagenet", "imagenet", "same 50,000 pictures"),
        ("xm3600", "xm3600", "the same set"),
    ],
)
def test_known_overlaps(first: str, second: str, words: str) -> None:
    for pair in ((first, second), (second, first)):
        found = find_leaks(*map(of, pair))
        assert any(words in leak.detail for leak in found) and {leak.kind for leak in found} == {"known overlap"}
        assert first == second or all(leak.source.startswith("https://") for leak in found)
    assert find_leaks(of("multi30k-train"), of("xm3600")) == []


def test_the_table_of_overlaps_names_only_its_sets_and_each_name_once() -> None:
    table = load_overlaps()
    sets = {known.name for known in table.sets}
    assert len(table.overlaps) > 10
    assert {name for overlap in table.overlaps for name in (*overlap.first, *overlap.second)} <= sets
    spelt = [
        normalize_name(name)
        for known in table.sets
        for name in {normalize_name(name) for name in (known.name, *known.names)}
    ]
    assert len(spelt) == len(set(spelt))


def write_benchmarks(folder: Path) -> None:
    """Captions as XM3600, XTD10 and IGLUE distribute them."""
    (folder / "xtd").mkdir()
    (folder / "xtd" / "test_1kcaptions_tr.txt").write_text("bir köpek\nIRMAK", "utf-8")
    (folder / "xtd" / "swh_Latn.txt").write_text("mbwa\n", "utf-8")
    (folder / "xtd" / "README.txt").write_text("about\n", "utf-8")
    (folder / "co").mkdir()
    (folder / "co" / "test.jsonl").write_text(
        '{"sentences": ["ein Hund"], "img_path": "COCO_val2014_000000413120.jpg"}\n', "utf-8"
    )
    (folder / "xm").mkdir()
    line = {
        "image/key": "000411001ff7dd4f",
        "image/locale": "sw",
        "sw": {"caption": ["mbwa mweusi"]},
        "quz": {"caption": ["allqu"]},
    }
    (folder / "xm" / "captions.jsonl").write_text(json.dumps(line), "utf-8")


def test_official_files_are_read(tmp_path: Path) -> None:
    write_benchmarks(tmp_path)
    xtd, co, xm = (of(tmp_path / name) for name in ("xtd", "co", "xm"))
    assert xtd.captions == {"tr": ["bir köpek", "IRMAK"], "sw": ["mbwa"], "": ["about"]}
    assert (co.listed, co.captions) == (["COCO_val2014_000000413120.jpg"], {"": ["ein Hund"]})
    assert (xm.listed, xm.captions) == (["000411001ff7dd4f.jpg"], {"sw": ["mbwa mweusi"], "quz": ["allqu"]})
    assert compare(said({"tr": ["ırmak"]}), xtd).captions["shared"] == 1  # Turkish: I is ı


def test_what_is_neither_corpus_nor_folder_nor_known(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="Did you mean 'XTD10'"):
        of("XTD12")
    with pytest.raises(DataError, match="neither images nor lists"):
        of(tmp_path)
    with pytest.raises(DataError, match="is not a folder"):
        collect_contents("xtd10", "test", [], list_known_names(), tmp_path / "missing")
    with pytest.raises(UnknownName, match="split"):
        of("emoji", "tests")


def test_the_command(train: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    clean = tmp_path / "clean"
    clean.mkdir()
    NOTO["1F415"].open().save(clean / "dog.png")
    done = polyclip("leakage", train, clean)
    assert done.code == 0 and "No leak found." in done.out
    (clean / "copy.png").write_bytes((train / f"{CONCEPTS[2]}.png").read_bytes())
    done = polyclip("leakage", train, clean)
    assert (
        done.code == 1
        and "identical picture" in done.out
        and "1 leaks" in done.out
        and not (tmp_path / "leakage.json").exists()
    )
    assert max(len(line) for line in done.out.splitlines() if not line.startswith(("compared", "captions"))) <= 80
    told = polyclip("leakage", train, clean, "--json", "--allow-leakage", "only to try")
    found: dict[str, Any] = json.loads(told.out)
    assert (
        told.code == 0 and found["allowed"] == "only to try" and found["leaked"] and found["limits"]["near_bits"] == 40
    )
    assert json.loads((tmp_path / "leakage.json").read_text("utf-8")) == found
    assert [leak["kind"] for leak in found["leaks"]] == ["identical picture"]
    assert to_record(compare(of(train), of(clean)))["allowed"] is None
    known = polyclip("leakage", "coco", "xtd10", "--data", clean)
    assert known.code == 1 and "known overlap" in known.out
    bad = polyclip("leakage", "coco", "xtd12")
    assert (
        bad.code == 2
        and bad.err.startswith("error: No corpus, folder or known set")
        and len(bad.err.strip().splitlines()) == 1
    )


def test_a_flat_picture_is_not_every_flat_picture(tmp_path: Path) -> None:
    for side, colours in (("one", ("red", "white")), ("two", ("blue", "white"))):
        (tmp_path / side).mkdir()
        for colour in colours:
            Image.new("RGB", (50, 50 if side == "one" else 80), colour).save(tmp_path / side / f"{colour}.png")
    assert [
        (Path(leak.train).name, Path(leak.other).name)
        for leak in find_leaks(of(tmp_path / "one"), of(tmp_path / "two"))
    ] == [("white.png", "white.png")]
