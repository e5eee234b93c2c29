"""captions.jsonl as people write it: one reader's rules for training and for `eval retrieval`."""

import codecs
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from polyclip.data.caption_lines import clean_captions, resolve_codes
from polyclip.data.readers import jsonl
from polyclip.data.shards.sample import tag_languages
from polyclip.errors import DataError
from polyclip.evaluation.benchmarks import retrieval
from polyclip.evaluation.retrieval import Request


def write(folder: Path, captions: list[dict[str, Any]], *, before: bytes = b"", between: bytes = b"\n") -> Path:
    for number in range(len(captions)):
        Image.new("RGB", (8, 8), (number * 20, 0, 0)).save(folder / f"{number}.png")
    lines = [
        json.dumps({"image": f"{number}.png", "captions": own, "split": "test"}, ensure_ascii=False).encode()
        for number, own in enumerate(captions)
    ]
    (folder / "captions.jsonl").write_bytes(before + between.join(lines) + between)
    return folder


def read_both(folder: Path, language: str) -> tuple[list[str], list[str]]:
    """Captions of a language by the corpus' reader and by the benchmark."""
    rows = jsonl.read(folder, language, "test")
    scored = retrieval.read(Request(languages=[], data=folder, split="test", corpus=""))
    return [text for row in rows for text in row.captions], [text for _, text in scored.captions[language]]


@pytest.mark.parametrize("before", [b"", codecs.BOM_UTF8])
@pytest.mark.parametrize("between", [b"\n", b"\r\n", b"\n\n", b"\n \t\n"])
def test_marks_and_blank_lines(tmp_path: Path, before: bytes, between: bytes) -> None:
    folder = write(tmp_path, [{"sw": ["mbwa"]}, {"sw": ["paka"]}, {"sw": ["ng'ombe"]}], before=before, between=between)
    assert read_both(folder, "sw") == (["mbwa", "paka", "ng'ombe"],) * 2


@pytest.mark.parametrize(
    ("written", "name"),
    [("swh_Latn", "sw"), ("swa", "sw"), ("tl", "fil"), ("nb", "no"), ("zh-TW", "zh-Hant"), ("eng_Latn", "en")],
)
def test_any_code_of_a_language(tmp_path: Path, written: str, name: str) -> None:
    folder = write(tmp_path, [{written: ["one", "two"]}, {written: "three"}, {written: None}])
    assert jsonl.languages(folder) == [name]
    assert read_both(folder, name) == (["one", "two", "three"],) * 2


@pytest.mark.parametrize("codes", [("sw", "swh"), ("swh_Latn", "sw"), ("en", "en-GB")])
def test_two_codes_of_one_language_are_refused_alike(tmp_path: Path, codes: tuple[str, str]) -> None:
    folder = write(tmp_path, [{"ha": ["kare"]}, {codes[0]: ["one"], codes[1]: ["two"]}])
    expected = rf"captions\.jsonl:2: '{codes[0]}' and '{codes[1]}' both mean {codes[0][:2]}; put its captions in one"
    with pytest.raises(DataError, match=expected):
        jsonl.languages(folder)
    with pytest.raises(DataError, match=expected):
        retrieval.read(Request(languages=[], data=folder, split="test", corpus=""))
    with pytest.raises(DataError, match=expected.removeprefix(r"captions\.jsonl:2: ")):
        tag_languages({codes[0]: ["one"], codes[1]: ["two"]})  # a bad sample of a shard, counted there


def test_codes_of_one_language_on_different_lines_are_one_language(tmp_path: Path) -> None:
    folder = write(tmp_path, [{"sw": ["mbwa"]}, {"swh": ["paka"]}, {"sw": [], "swh": ["samaki"]}])
    assert read_both(folder, "sw") == (["mbwa", "paka", "samaki"],) * 2
    assert resolve_codes(["mine", "xx"]) == {"mine": "mine", "xx": "xx"}


def test_a_language_may_lack_a_caption(tmp_path: Path) -> None:
    folder = write(tmp_path, [{"sw": ["mbwa"], "en": None}, {"sw": [], "en": "a cat"}])
    assert read_both(folder, "sw") == (["mbwa"],) * 2 and read_both(folder, "en") == (["a cat"],) * 2


@pytest.mark.parametrize(
    "captions", [{"sw": ""}, {"sw": [" "]}, {"sw": 3}, {"sw": [None]}, {"sw": {"a": "b"}}, ["mbwa"], None]
)
def test_what_is_no_caption_is_refused_with_its_line(tmp_path: Path, captions: Any) -> None:
    folder = write(tmp_path, [{"sw": ["mbwa"]}, captions])
    with pytest.raises(DataError, match=r"captions\.jsonl:2: .*caption"):
        jsonl.languages(folder)
    with pytest.raises(DataError, match=r"captions\.jsonl:2: "):
        read_both(write(tmp_path, [{"sw": ["mbwa"]}, captions]), "sw")


def test_nothing_is_lost_in_cleaning() -> None:
    assert clean_captions({"sw": ["a", "b"], "en": "c", "de": None, "fr": []}, "x") == {"sw": ["a", "b"], "en": ["c"]}
