"""What a run on several corpora leaves out is said; a corpus of which nothing is left is refused before training."""

import json
from pathlib import Path

import pytest

from polyclip.core.progress import show_messages
from polyclip.data.corpus_names import join_names
from polyclip.errors import DataError
from polyclip.evaluation.results import Score
from polyclip.report.hints import choose_query, format_next_steps
from polyclip.training.shared_images import report_shared_images
from tests.toy import write_corpus

MOVED = {"train": "test", "test": "train", "validation": "train"}


def write_again(folder: Path, moved: dict[str, str], number: int = 24) -> Path:
    """The first images of the toy corpus again, under another name and in other splits."""
    pack = write_corpus(folder)
    lines = [json.loads(line) for line in (folder / "captions.jsonl").read_text("utf-8").splitlines()][:number]
    rows = [json.dumps(line | {"split": moved.get(line["split"], line["split"])}) for line in lines]
    (folder / "captions.jsonl").write_text("\n".join(rows) + "\n", "utf-8")
    pack.write_text(pack.read_text("utf-8").replace('"toy"', '"again"'), "utf-8")
    return pack


def test_a_corpus_that_is_all_held_out_is_refused(tmp_path: Path) -> None:
    names = join_names([str(write_corpus(tmp_path / "a")), str(write_again(tmp_path / "b", MOVED))])
    with pytest.raises(DataError, match=r"^All 12 training images of corpus 'toy' are test or validation images of"):
        report_shared_images(names)


def test_a_part_that_is_left_out_is_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = join_names([str(write_corpus(tmp_path / "a")), str(write_again(tmp_path / "b", {"train": "test"}, 4))])
    with show_messages():
        report_shared_images(names)
    assert capsys.readouterr().err == (
        "corpus 'toy': 2 of 18 training and validation images left out, since another corpus of this run holds them "
        "out\n"
    )


def test_nothing_is_said_of_one_corpus_or_of_equal_splits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, other = str(write_corpus(tmp_path / "a")), str(write_again(tmp_path / "b", {}))
    with show_messages():
        report_shared_images(one)
        report_shared_images(join_names([one, other]))
    assert capsys.readouterr().err == ""


def test_the_next_steps_score_only_what_was_not_scored(tmp_path: Path) -> None:
    small = {"corpus": str(write_corpus(tmp_path / "a")), "languages": ["sw", "en"]}
    steps = format_next_steps(small, Path("runs/a b"), [])
    assert len(steps) == 1  # no language has enough test captions for `eval` without --lang
    assert steps[0].startswith("search: polyclip search 'mraba ") and steps[0].endswith(" --model 'runs/a b'")
    steps = format_next_steps({"corpus": "emoji", "languages": ["ha"]}, Path("runs/ha"), [scored("ha")])
    assert steps[0] == "every language: polyclip eval emoji --model runs/ha" and len(steps) == 2


@pytest.mark.parametrize(
    ("language", "query"), [("sw", "paka mweusi"), ("en", "dog face"), ("quz", "yana misi"), ("ja", "火山")]
)
def test_the_query_of_a_hint_is_short_and_of_words_that_other_captions_have(language: str, query: str) -> None:
    assert choose_query({"corpus": "emoji", "languages": [language]}) == query


def scored(language: str) -> Score:
    facts = {"benchmark": "emoji", "protocol": "p", "direction": "text_to_image", "split": "test", "metric": "recall@1"}
    return Score(**facts, language=language, seen=True, value=0.5, low=0.4, high=0.6, chance=0.1, queries=9, gallery=9)
