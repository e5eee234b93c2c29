"""A folder that is another one, or elsewhere, is found or hinted at; unknown names name a few near ones."""

from pathlib import Path

import pytest

from polyclip.core.nearby import CORPUS_FOLDER, FOLDER, INDEX_FOLDER, RUN_FOLDER, find_kind, hint_folder
from polyclip.core.registry import find
from polyclip.core.run_folder import read_settings
from polyclip.data.corpus import load_corpus
from polyclip.data.image_files import scan_folder
from polyclip.errors import DataError, PolyclipError, RunError, UnknownName
from polyclip.languages.resolve import resolve_language
from polyclip.models.backbone import parse_spec
from polyclip.models.model_file import read_parts
from polyclip.search._format import read_manifest
from tests.command import polyclip


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a run here and one below runs, an index, a corpus, and a folder of nothing special."""
    for place in ("myrun/run.toml", "runs/theirs/run.toml", "found/index.json", "ours/corpus.toml", "photos/note.md"):
        (tmp_path / place).parent.mkdir(parents=True)
        (tmp_path / place).write_text("", "utf-8")
    (tmp_path / "birds.xlsx").write_text("", "utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_kinds_are_told_by_their_own_file(here: Path) -> None:
    kinds = {name: find_kind(Path(name)) for name in ("myrun", "found", "ours", "photos", "birds.xlsx", "nothing")}
    assert list(kinds.values()) == [RUN_FOLDER, INDEX_FOLDER, CORPUS_FOLDER, FOLDER, "", ""]


@pytest.mark.parametrize(
    ("given", "wanted", "hint"),
    [
        ("theirs", RUN_FOLDER, " Did you mean runs/theirs?"),  # the same name elsewhere
        ("./theirs", RUN_FOLDER, " Did you mean runs/theirs?"),
        ("myrum", RUN_FOLDER, " Did you mean myrun?"),
        ("runs/their", RUN_FOLDER, " Did you mean runs/theirs?"),
        ("myrun", INDEX_FOLDER, " myrun is a run folder: it goes with --model myrun."),
        ("found", RUN_FOLDER, " found is an index: it goes with --index found."),
        ("ours", "", " ours is a corpus: it goes with --corpus ours."),
        ("photo", FOLDER, " Did you mean photos?"),
        ("photo", INDEX_FOLDER, ""),  # it is no index
        ("photos", RUN_FOLDER, ""),
        ("myrun", RUN_FOLDER, ""),
        ("xyz", RUN_FOLDER, ""),
        ("x" * 5000, RUN_FOLDER, ""),
        ("a\0b", RUN_FOLDER, ""),
        ("nowhere/at/all", RUN_FOLDER, ""),
    ],
)
def test_the_hint_names_what_was_meant(here: Path, given: str, wanted: str, hint: str) -> None:
    assert hint_folder(given, wanted) == hint


def test_every_reader_of_folders_gives_the_hint(here: Path) -> None:
    for read in (read_settings, read_parts):
        with pytest.raises(RunError, match=r"Did you mean runs/theirs\? Make one with: polyclip align"):
            read(Path("theirs"))
    with pytest.raises(DataError, match=r"photos is not an index: .*: polyclip index photos --model RUN$"):
        read_manifest(Path("photos"))
    with pytest.raises(DataError, match=r"Did you mean found\? .*polyclip index IMAGES --model RUN --out foun$"):
        read_manifest(Path("foun"))
    with pytest.raises(DataError, match=r"phots is not a folder\. Did you mean photos\?"):
        scan_folder(Path("phots"))
    with pytest.raises(UnknownName, match=r"Known: emoji\. .* Did you mean birds\.xlsx\?$"):
        load_corpus("birds")
    with pytest.raises(UnknownName, match=r"No benchmark called 'myrun'\. .* myrun is a run folder: it goes with"):
        find("benchmarks", "myrun")
    assert parse_spec("encoders", "photos") == ("huggingface", "photos", {})  # a folder without ./
    with pytest.raises(UnknownName, match="A hub name has its owner before it"):
        parse_spec("encoders", "phots")


def test_eval_of_a_run_alone_says_what_is_missing(here: Path) -> None:
    for corpus, scored in (("emoji", "emoji"), ("emoji + our photos=2", "held-out --corpus 'our photos'")):
        (here / "myrun" / "run.toml").write_text(f'languages = ["ha", "en"]\ncorpus = "{corpus}"\n', "utf-8")
        said = polyclip("eval", "myrun")
        assert said.code == 2 and said.err.count("\n") == 1 and "myrun is a run folder" in said.err
        assert said.err.endswith(f"such as: polyclip eval {scored} --lang ha --model myrun\n")
    assert "polyclip eval emoji --model RUN" in polyclip("eval", "nosuch").err


def test_few_names_are_listed_and_many_only_counted() -> None:
    assert str(UnknownName("study", "clams", ["claims", "data"])) == (
        "No study called 'clams'. Did you mean 'claims'? Known: claims, data."
    )
    many = [f"name{number}" for number in range(11)]
    assert "There are 11, such as name0, name10, " in str(UnknownName("thing", "xyz", many))
    assert str(UnknownName("thing", "xyz", many[:10])).endswith("name8, name9.")
    assert str(UnknownName("language", "en", ["sw (Swahili)", "ee (Ewe)"])).startswith(
        "No language called 'en'. Did you mean 'ee' (Ewe)?"
    )
    with pytest.raises(UnknownName) as caught:
        find("methods", "head-mpl")
    assert "'head-mlp'" in str(caught.value) and str(caught.value).endswith("'polyclip methods' lists all.")


@pytest.mark.parametrize("text", ["xx", "haa", "Swhaili", "qqqqqq", ""])
def test_an_unknown_language_names_few(text: str) -> None:
    with pytest.raises(PolyclipError) as caught:
        resolve_language(text)
    assert "'polyclip languages' lists all" in str(caught.value) and len(str(caught.value)) < 250
