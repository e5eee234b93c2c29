"""Names of image classes from a user's own wordnet."""

from pathlib import Path

import pytest
import torch

from polyclip.core.progress import show_messages
from polyclip.core.registry import find
from polyclip.core.run_folder import write_settings
from polyclip.errors import DataError, PolyclipError
from polyclip.models.backbone import describe
from polyclip.models.config import ModelConfig
from polyclip.models.vocabulary.classes import Classifier, build_vocabulary, list_synsets
from polyclip.models.vocabulary.translations import load_translations, read_wordnet
from polyclip.report.reproduce import build_command
from polyclip.training.auto.candidates import CANDIDATES, make_trial_run
from polyclip.training.class_names import add_class_names, read_vocabulary
from polyclip.training.config import collect_settings
from polyclip.training.configure import build_config
from polyclip.training.options import AlignOptions
from polyclip.training.request import resolve_request
from polyclip.training.settings import config_from_settings
from tests.command import polyclip

DOG, CAT = "n02084071", "n02121620"
SWAHILI = "# Kamusi\tswa\thttps://example.org\tCC BY 4.0\n02084071-n\tswa:lemma\tmbwa\n02121620-n\tlemma\tpaka\n"


def write(folder: Path, text: str, name: str = "wn-data-swa.tab") -> Path:
    path = folder / name
    path.write_text(text, "utf-8", newline="")
    return path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (SWAHILI, {DOG: "mbwa", CAT: "paka"}),
        (f"{DOG}\tmbwa\r\n\r\n{CAT}\tpaka\r\n", {DOG: "mbwa", CAT: "paka"}),
        (f"\ufeff{DOG}\tmbwa", {DOG: "mbwa"}),
        ("02084071-n\tlemma\tmbwa\n02084071-n\tlemma\tjibwa\n", {DOG: "mbwa"}),  # the first of a synset
        ("02084071-n\tlemma\tmbwa_wa+nyumbani \n", {DOG: "mbwa wa nyumbani"}),
        ("02084071-n\tlemma\tכֶּלֶב\n", {DOG: "כלב"}),
        ("02084071-n\tswa:def\t0\tmnyama\n02084071-n\tlemma\tmbwa\n01234567-v\tlemma\tbweka\n", {DOG: "mbwa"}),
        ("02084071-n\tlemma\t \n02084071-n\tlemma\tmbwa\n", {DOG: "mbwa"}),
        (f"{DOG}\tmbwa\u2028{CAT}\n", {DOG: f"mbwa {CAT}"}),  # no line ends there
    ],
)
def test_a_wordnet_is_read_as_people_write_it(tmp_path: Path, text: str, expected: dict[str, str]) -> None:
    assert read_wordnet(write(tmp_path, text)) == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("mbwa\tdog\n", ":1: expected a WordNet 3.0 id"),
        (f"{DOG}\tmbwa\n{CAT} paka\n", ":2: expected"),
        (f"{DOG}\n", ":1: expected"),
        ("n2084071\tmbwa\n", "found 'n2084071\\\\tmbwa'"),
        ("", "it has no noun"),
        ("01234567-v\tlemma\tbweka\n", "it has no noun"),
    ],
)
def test_what_is_no_wordnet_is_one_sentence(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        read_wordnet(write(tmp_path, text))


def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "none.tab"
    with pytest.raises(DataError, match=r"none\.tab: names of image classes cannot be read"):
        read_wordnet(path)
    with pytest.raises(DataError, match="cannot be read"):
        read_wordnet(tmp_path)
    path.write_bytes(f"{DOG}\t\xff".encode("latin-1"))
    with pytest.raises(DataError, match="cannot be read"):
        read_wordnet(path)


def test_words_of_a_wordnet_stand_beside_those_that_polyclip_ships() -> None:
    classifier = Classifier(list_synsets("imagenet-1k"), torch.eye(1000))
    usual = build_vocabulary(classifier, "tower")
    shipped = load_translations()[DOG][0]
    more = build_vocabulary(classifier, "tower", [{DOG: "mbwa", "n99999999": "x"}, {DOG: shipped}])
    assert usual is not None and more is not None
    added = set(zip(more.names, more.node.tolist(), strict=True)) - set(
        zip(usual.names, usual.node.tolist(), strict=True)
    )
    assert added == {("mbwa", usual.node[list(usual.names).index("domestic dog")].item())}  # a name counts once
    assert len(more.names) == len(usual.names) + 1 and more.english == usual.english


def test_a_run_says_how_many_classes_a_wordnet_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, SWAHILI)
    tower = describe("towers", "efficientnet-lite0")
    with show_messages():
        found = read_vocabulary(tower, (str(path),), silent=False)
    assert found is not None and {"mbwa", "paka"} <= set(found.names)
    assert "wn-data-swa.tab: 2 of 1,849" in " ".join(capsys.readouterr().err.split())
    path.write_text(SWAHILI.replace("mbwa", "jibwa"), "utf-8")  # edited, then aligned again in the same process
    again = read_vocabulary(tower, (str(path),))
    assert again is not None and "jibwa" in again.names and "mbwa" not in again.names
    other = write(tmp_path, "00000001-n\tlemma\tx\n", "other.tab")
    with pytest.raises(DataError, match=r"names none of the 1,849 classes and hypernyms of efficientnet-lite0"):
        read_vocabulary(tower, (str(other),))


@pytest.mark.parametrize(
    ("method", "tower", "wanted"),
    [("ridge", "efficientnet-lite0", True), ("heads", "efficientnet-lite0:,layers=5", True)]
    + [("heads", "efficientnet-lite0", False)],
)
def test_a_wordnet_where_there_are_no_class_names_is_refused(
    tmp_path: Path, method: str, tower: str, wanted: bool
) -> None:
    recipe, files = ModelConfig(method=method, vision_tower=tower), (str(write(tmp_path, SWAHILI)),)
    with pytest.raises(PolyclipError, match="uses no class names; expected a method and a vision encoder that do"):
        add_class_names(recipe, find("methods", method).METHOD, wanted=wanted, files=files)


def test_the_option_is_refused_beside_a_run_that_decides_it(tmp_path: Path) -> None:
    said = polyclip("align", "--lang", "te", "--from", str(tmp_path), "--class-names-from", "x.tab")
    assert said.code != 0 and "cannot be combined with --class-names-from" in " ".join(said.err.split())


def test_a_run_records_its_wordnets_and_is_repeated_with_them(tmp_path: Path) -> None:
    options = AlignOptions(lang=["sw"], class_names_from=["a.tab", "b.tab"], out=tmp_path / "run")
    run = build_config(options, resolve_request(options))
    settings = collect_settings(run)
    assert settings["class_names_from"] == ["a.tab", "b.tab"]
    assert "--class-names-from a.tab --class-names-from b.tab" in build_command(settings, tmp_path / "run")
    write_settings(tmp_path / "run", settings)
    again = config_from_settings(AlignOptions(settings=tmp_path / "run"), tmp_path / "again")
    assert again.class_names_from == ("a.tab", "b.tab") and collect_settings(again) == settings


def test_a_search_for_the_best_method_uses_wordnets_where_a_method_takes_names(tmp_path: Path) -> None:
    options = AlignOptions(lang=["sw"], method="auto", class_names_from=["a.tab"], out=tmp_path / "run")
    run = build_config(options, resolve_request(options))
    tried = {candidate.method: make_trial_run(run, candidate).class_names_from for candidate in CANDIDATES}
    assert tried["ridge"] == () and tried["head-mlp"] == ("a.tab",)
