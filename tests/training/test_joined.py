"""Aligning on several corpora, going on with one that lacks the old languages, and what is found before training."""

import json
import tomllib
from pathlib import Path

import pytest
from PIL import Image

import polyclip
from tests import toy
from tests.command import CommandResult
from tests.command import polyclip as command

NUMBERS = {"wata": "red", "rana": "yellow", "itace": "green", "ruwa": "blue"}


def write_hausa(folder: Path) -> Path:
    """Write 16 images with Hausa captions; one is a test image of the toy corpus."""
    folder.mkdir()
    lines = []
    for number, (word, colour) in enumerate(NUMBERS.items()):
        for place, split in enumerate(("train", "train", "validation", "test")):
            name = f"{word}-{place}.png"
            image = Image.new("RGB", (64, 64), colour)
            image.paste(Image.new("RGB", (8 + 9 * place, 20 + number), "white"), (10 * place, 5))
            image.save(folder / name)
            lines.append({"image": name, "captions": {"ha": [f"babban {word} {place}"]}, "split": split})
    (folder / "captions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    (folder / "corpus.toml").write_text('name = "ours"\nabout = ""\nreader = "jsonl"\nfolder = "."\n', "utf-8")
    return folder


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("joined")
    toy.write_corpus(folder / "squares", french=True)
    write_hausa(folder / "ours")
    toy.write_text_encoder(folder / "text")
    toy.write_vision_tower(folder / "vision")
    return folder


def align(place: Path, out: str, *more: object) -> CommandResult:
    return command("align", "--epochs", 2, "--batch-size", 8, "--out", place / out, *more)


def towers(place: Path) -> list[object]:
    vision = f"timm:test_efficientnet,weights={place / 'vision' / 'test_efficientnet.safetensors'}"
    return ["--text-encoder", f"huggingface:{place / 'text'}", "--vision-tower", vision, "--method", "heads"]


@pytest.fixture(scope="module")
def both(place: Path) -> CommandResult:
    squares = place / "squares" / "toy.toml"
    return align(
        place, "both", *towers(place), "--lang", "sw", "--lang", "ha",
        "--corpus", squares, "--corpus", f"{place / 'ours'}=3",
    )  # fmt: skip


@pytest.fixture(scope="module")
def start(place: Path) -> Path:
    found = align(place, "start", *towers(place), "--lang", "sw", "--corpus", place / "squares" / "toy.toml")
    assert found.code == 0, found
    return place / "start"


def read(place: Path, out: str) -> tuple[dict, dict]:
    return (
        tomllib.loads((place / out / "run.toml").read_text("utf-8")),
        json.loads((place / out / "result.json").read_text("utf-8")),
    )


def test_each_corpus_is_scored_under_its_own_name(place: Path, both: CommandResult) -> None:
    assert both.code == 0, both
    settings, result = read(place, "both")
    assert settings["corpus"] == f"{place / 'squares' / 'toy.toml'} + {place / 'ours'}=3"
    assert [(c["name"], c["weight"], c["held_out_elsewhere"]) for c in settings["corpora"]] == [
        ("toy", 1.0, 0),
        ("ours", 3.0, 0),
    ]
    scored = {(score["benchmark"], score["language"]): score["gallery"] for score in result["scores"]}
    assert set(scored) == {("toy", code) for code in ("sw", "en", "fr", "de")} | {("ours", "ha")}
    assert scored["ours", "ha"] == 4 and scored["toy", "sw"] == 6
    assert "of toy" in both.out and "of ours" in both.out and "babban" not in both.out.partition("search:")[0]


def test_resume_eval_report_card_and_python_know_several_corpora(place: Path, both: CommandResult) -> None:
    squares, ours = place / "squares" / "toy.toml", place / "ours"
    found = command("eval", "held-out", "--model", place / "both", "--corpus", squares, "--corpus", ours)
    assert found.code == 0 and "of ours" in found.out, found
    assert command("report", place / "both").code == 0
    card = (place / "both" / "README.md").read_text("utf-8")
    assert "the corpora `toy` and `ours`" in card and f"--corpus {squares} --corpus {ours}=3" in card
    again = align(
        place, "both", *towers(place), "--lang", "sw", "--lang", "ha", "--corpus", squares, "--corpus", ours, "--resume"
    )
    assert again.code == 2 and "holds a run with other settings" in again.err
    result = polyclip.evaluate(place / "both", "held-out", corpus=[squares, polyclip.Corpus.open(ours)], languages="ha")
    assert {score.benchmark for score in result.scores} == {"ours"}


def test_a_new_language_of_a_corpus_without_the_old_ones_is_learnt_beside_them(place: Path, start: Path) -> None:
    found = align(place, "next", "--from", start, "--lang", "ha", "--corpus", place / "ours")
    assert found.code == 0, found
    settings, result = read(place, "next")
    assert settings["languages"] == ["ha", "sw", "en"]
    assert [entry.get("languages") for entry in settings["corpora"]] == [["sw", "en"], None]
    assert {("ours", "ha"), ("toy", "sw")} <= {(s["benchmark"], s["language"]) for s in result["scores"]}
    search = next(line for line in found.out.splitlines() if line.startswith("search: "))
    assert search.startswith("search: polyclip search 'babban ")


def test_without_rehearsal_the_old_languages_are_still_measured(place: Path, start: Path) -> None:
    found = align(place, "alone", "--from", start, "--lang", "ha", "--corpus", place / "ours", "--no-rehearse")
    assert found.code == 0, found
    assert "trained before (2)" in found.out


@pytest.mark.parametrize(
    ("spoil", "arguments", "sentence"),
    [
        ("split", ["--lang", "ha", "--folds", 1], "has no test captions in ha"),
        ("image", ["--lang", "ha"], "Test images of corpus 'ours' cannot be read (1 in all), so"),
        ("", ["--lang", "yo"], "Corpus 'ours' has no captions in yo (Yoruba); it has ha."),
        ("", ["--lang", "ha", "--max-drop", 5], "--max-drop has nothing to check: corpus 'ours'"),
    ],
)
def test_what_scoring_would_miss_is_said_before_training_and_leaves_no_folder(
    place: Path, tmp_path: Path, spoil: str, arguments: list[object], sentence: str
) -> None:
    folder = write_hausa(tmp_path / "ours")
    if spoil == "split":
        path = folder / "captions.jsonl"
        path.write_text(path.read_text("utf-8").replace('"test"', '"train"'), "utf-8")
    if spoil == "image":
        (folder / "rana-3.png").write_bytes(b"no image")
    found = align(tmp_path, "out", *towers(place), "--no-english", "--corpus", folder, *arguments)
    assert found.code == 2 and sentence in found.err, found
    assert not (tmp_path / "out").exists()


def write_unsplit(folder: Path) -> Path:
    """The Hausa images without splits: small, so that they are tested in folds where that is asked for."""
    path = write_hausa(folder) / "captions.jsonl"
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    text = "".join(json.dumps({key: line[key] for key in ("image", "captions")}) + "\n" for line in lines)
    path.write_text(text, "utf-8")
    return folder


def test_the_small_one_of_several_corpora_is_tested_in_folds(place: Path, tmp_path: Path) -> None:
    ours, squares = write_unsplit(tmp_path / "ours"), place / "squares" / "toy.toml"
    common = [*towers(place), "--lang", "sw", "--lang", "ha", "--corpus", squares, "--corpus", f"{ours}=3"]
    found = align(tmp_path, "final", *common, "--final", "--folds", 4)
    assert found.code == 0, found
    assert "4 folds: each image of ours is tested once, by a model trained without it." in found.err
    settings, result = read(tmp_path, "final")
    assert settings["folds"] == 4 and settings["final"] and settings["corpus"] == f"{squares} + {ours}=3"
    protocols = {(score["protocol"], score["language"]): score["queries"] for score in result["scores"]}
    assert protocols["pictures, 4 folds of ours", "ha"] == 16 and ("pictures, 4 folds of ours", "sw") not in protocols
    assert ("pictures of toy", "sw") in protocols and ("pictures of toy", "ha") not in protocols
    folds = result["origin"]["folds"]
    assert folds["captioned"] == 16 == folds["kept"]["trained_on"] and sum(folds["trained_on"]) == 4 * 8
    said = " ".join(result["origin"]["notes"])
    assert "trained on all 16 captioned images of ours" in said
    assert "The scores of toy are those of the model that is kept." in said
    refused = command("eval", "held-out", "--model", tmp_path / "final", "--corpus", ours)
    assert refused.code == 2 and "trained on every image of 'ours' (--final)" in refused.err
    assert command("eval", "held-out", "--model", tmp_path / "final", "--corpus", squares, "--lang", "sw").code == 0
    usual = align(tmp_path, "usual", *common)  # not asked for: one split, and a hint
    assert usual.code == 0 and "folds" not in read(tmp_path, "usual")[0]
    assert "captioned images of ours; the other" in " ".join(read(tmp_path, "usual")[1]["origin"]["notes"])


def test_a_run_goes_on_in_folds_of_what_it_has_not_learnt(place: Path, start: Path, tmp_path: Path) -> None:
    ours, squares = write_unsplit(tmp_path / "ours"), place / "squares" / "toy.toml"
    found = align(tmp_path, "on", "--from", start, "--lang", "ha", "--corpus", ours, "--folds", 4)
    assert found.code == 0, found
    settings, result = read(tmp_path, "on")
    assert settings["folds"] == 4 and settings["continued"]["new"] == ["ha"]
    assert {score["protocol"] for score in result["scores"] if score["language"] == "ha"} == {
        "pictures, 4 folds of ours"
    }
    kept = json.loads((tmp_path / "on" / "knowledge.json").read_text("utf-8"))["knowledge"]
    assert any(line["question"].startswith("trained before") for line in kept)
    for more, says in (
        (["--corpus", squares, "--folds", 4], "was trained on corpus 'toy' already, so folds of it would test what"),
        (["--corpus", ours, "--folds", 4, "--shots", 2], "cannot be combined with --shots"),
    ):
        refused = align(tmp_path, "no", "--from", start, "--lang", "ha", *more)
        assert refused.code == 2 and says in refused.err and not (tmp_path / "no").exists(), refused


def test_folds_of_several_corpora_require_a_small_one(place: Path, tmp_path: Path) -> None:
    both = ["--corpus", place / "squares" / "toy.toml", "--corpus", place / "ours"]
    refused = align(tmp_path, "no", *towers(place), "--lang", "sw", "--lang", "ha", *both, "--final")
    assert refused.code == 2 and "a corpus of fewer than 300 images without a test split of its own" in refused.err
