"""Several corpora as one: names, weights, and images that two corpora have."""

import json
from pathlib import Path

import pytest
from PIL import Image

from polyclip.data.corpus import Corpus, load_corpus
from polyclip.data.corpus_names import Part, join_names, name_corpora, split_name
from polyclip.data.joined import describe_corpora
from polyclip.data.pairs import SamplingConfig
from polyclip.data.training_pairs import make_training_pairs
from polyclip.errors import DataError, UnknownName
from polyclip.languages.schema import load_language

Images = dict[str, tuple[int, str, dict[str, str]]]  # name -> grey level, split, captions


def write(folder: Path, images: Images) -> Path:
    folder.mkdir()
    lines = []
    for name, (grey, split, captions) in images.items():
        Image.new("RGB", (8, 8), (grey, grey, 2 * grey % 256)).save(folder / f"{name}.png")
        listed = {code: [text] for code, text in captions.items()}
        lines.append(json.dumps({"image": f"{name}.png", "captions": listed, "split": split}))
    (folder / "captions.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    (folder / "corpus.toml").write_text(
        f'name = "{folder.name}"\nabout = ""\nreader = "jsonl"\nfolder = "."\n', "utf-8"
    )
    return folder / "corpus.toml"


@pytest.fixture
def two(tmp_path: Path) -> list[str]:
    first = {
        "a": (10, "train", {"sw": "moja", "en": "one"}),
        "b": (20, "train", {"sw": "mbili", "en": "two"}),
        "c": (30, "validation", {"sw": "tatu", "en": "three"}),
        "d": (40, "test", {"sw": "nne", "en": "four"}),
        "e": (70, "validation", {"sw": "tano"}),
    }
    second = {
        "p": (40, "train", {"ha": "hudu"}),  # tested in the first
        "q": (10, "train", {"ha": "daya"}),  # trained on in the first
        "r": (50, "train", {"ha": "biyar"}),
        "s": (60, "validation", {"ha": "shida"}),
        "t": (30, "test", {"ha": "uku"}),  # validated on in the first
        "u": (70, "train", {"ha": "bakwai"}),  # validated on in the first
    }
    return [str(write(tmp_path / "first", first)), str(write(tmp_path / "second", second))]


def pairs_of(names: list[str], split: str = "train") -> tuple[dict[str, float], dict[str, int]]:
    """Sampling weight and concept number of each caption."""
    corpus = load_corpus(join_names(names))
    found = make_training_pairs(corpus, [load_language(code) for code in ("sw", "ha")], split, SamplingConfig())
    return (
        dict(zip(found.captions, found.caption_weight.tolist(), strict=True)),
        dict(zip(found.captions, found.caption_concept.tolist(), strict=True)),
    )


def test_an_image_that_another_corpus_holds_out_is_not_trained_on(two: list[str]) -> None:
    assert set(pairs_of(two)[0]) == {"moja", "mbili", "daya", "biyar"}
    assert set(pairs_of(two, "validation")[0]) == {"shida", "tano"}  # tatu's image is tested in the second
    assert set(pairs_of(two[::-1])[0]) == {"moja", "mbili", "daya", "biyar"}
    corpus = load_corpus(join_names(two))
    keys = {
        split: {
            images[concept].key
            for style in corpus.reader.styles(corpus.folder)
            for images in [corpus.reader.pictures(corpus.folder, style)]
            for concept in corpus.reader.split_concepts(corpus.folder, split)
        }
        for split in ("train", "validation", "test")
    }
    assert all(keys.values())
    assert not (keys["train"] | keys["validation"]) & keys["test"] and not keys["train"] & keys["validation"]


def test_one_image_in_two_corpora_is_one_concept(two: list[str]) -> None:
    concept = pairs_of(two)[1]
    assert concept["moja"] == concept["daya"]
    assert len({concept[text] for text in ("moja", "mbili", "biyar")}) == 3


def test_a_weight_draws_a_corpus_as_often_as_it_says(tmp_path: Path) -> None:
    names = [
        str(write(tmp_path / name, {f"{name}{i}": (grey + i, "train", {"sw": f"{name} {i}"}) for i in range(3)}))
        for name, grey in (("one", 10), ("two", 20))
    ]
    corpus = load_corpus(join_names([names[0], f"{names[1]}=3"]))
    found = make_training_pairs(corpus, [load_language("sw")], "train", SamplingConfig())
    weight = dict(zip(found.captions, found.caption_weight.tolist(), strict=True))
    assert weight["two 0"] == pytest.approx(3 * weight["one 0"])
    assert sum(weight.values()) == pytest.approx(1)


def test_languages_of_a_part_are_trained_from_it_alone_and_all_are_tested(two: list[str]) -> None:
    corpus = load_corpus(join_names([f"{two[0]}[en]", two[1]]))
    assert corpus.languages == ["en", "ha", "sw"]
    assert corpus.reader.read(corpus.folder, "sw", "train") == []
    assert [row.captions for row in corpus.reader.read(corpus.folder, "sw", "test")] == [("nne",)]


def test_names_go_there_and_back(two: list[str]) -> None:
    name = join_names(["emoji[sw,en]", f"{two[0]}=0.5"])
    assert split_name(name) == [Part("emoji", 1.0, ("sw", "en")), Part(two[0], 0.5)]
    assert name_corpora([Corpus.open("emoji"), f"{two[0]}=0.5"]).endswith(f"emoji.toml + {two[0]}=0.5")
    assert name_corpora("emoji") == join_names(["emoji"]) == "emoji"
    assert describe_corpora(load_corpus("emoji")) == {}
    assert [entry["held_out_elsewhere"] for entry in describe_corpora(load_corpus(join_names(two)))["corpora"]] == [
        1,
        2,
    ]


def test_emoji_speaks_the_same_languages_beside_another_corpus(two: list[str]) -> None:
    corpus = load_corpus(join_names(["emoji", two[1]]))
    alone = load_corpus("emoji")
    for code in ("sw", "zh", "zh-Hant", "pt"):
        language = load_language(code)
        there = [row.captions for row in corpus.reader.read(corpus.folder, corpus.get_locale(language), "train")]
        assert (
            there == [row.captions for row in alone.reader.read(alone.folder, alone.get_locale(language), "train")]
            and len(there) > 1000
        )


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (["emoji", "emoji=2"], "Corpus 'emoji' is named twice"),
        (["emoji", "ours=0"], "the weight '0' is not a number above 0"),
        (["emoji", "ours=much"], "--corpus ours=much: the weight 'much'"),
    ],
)
def test_what_cannot_be_joined_is_said_in_a_sentence(names: list[str], sentence: str) -> None:
    with pytest.raises(DataError) as caught:
        join_names(names)
    assert sentence in str(caught.value)


def test_two_corpora_of_one_name_and_an_unknown_one_are_refused(two: list[str], tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    copied = write(tmp_path / "x" / "first", {"a": (99, "train", {"sw": "moja"})})
    with pytest.raises(DataError, match="Two corpora are called 'first'"):
        load_corpus(join_names([two[0], str(copied)]))
    with pytest.raises(UnknownName, match="No corpus called 'emojy'"):
        load_corpus("emojy + emoji")
