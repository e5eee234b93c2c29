"""Every kind of bad input: one sentence, exit code 2, nothing half-written."""

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from polyclip.data.corpus import load_corpus
from polyclip.evaluation.leakage.compare import check_leakage
from tests.command import polyclip, start_process
from tests.toy import write_corpus, write_text_encoder, write_vision_tower


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("toy")
    corpus, text, vision = (
        write_corpus(folder / "corpus"),
        write_text_encoder(folder / "text"),
        write_vision_tower(folder / "vision"),
    )
    return {"corpus": str(corpus), "text": text, "vision": vision}


def inputs(toy: dict[str, str]) -> list[str]:
    towers = ["--text-encoder", toy["text"], "--vision-tower", toy["vision"]]
    return ["--corpus", toy["corpus"], *towers, "--method", "heads", "--epochs", "2", "--batch-size", "8"]


@pytest.fixture(scope="module")
def run(toy: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    with start_process("align", "--lang", "sw", *inputs(toy), "--out", out) as started:
        assert started.wait(120) == 0
    return out


def one_sentence(said: object, *words: str) -> None:
    assert said.code == 2, said  # type: ignore[attr-defined]
    lines = said.err.strip().splitlines()  # type: ignore[attr-defined]
    assert len(lines) == 1 and lines[0].startswith("error: "), said
    for word in words:
        assert word in lines[0], (word, lines[0])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (["--lang", "swahilli"], ["'swahilli'", "Did you mean", "Swahili"]),
        (["--method", "lilt-lm"], ["'lilt-lm'", "Did you mean", "'lilt-ln'"]),
        (["--text-encoder", "e5-smal"], ["'e5-smal'", "'e5-small'"]),
        (["--vision-tower", "efficientnet-lite9"], ["'efficientnet-lite9'", "'efficientnet-lite"]),
        (["--corpus", "emojis"], ["'emojis'", "'emoji'"]),
        (["--text-encoder", "intfloat/multilingual-e5-base"], ["intfloat/multilingual-e5-base", "local folder"]),
        (["--vision-tower", "google/vit-base-patch16-224"], ["google/vit-base-patch16-224", "local folder"]),
    ],
)
def test_unknown_names_suggest_the_nearest(
    toy: dict[str, str], change: list[str], words: list[str], tmp_path: Path
) -> None:
    given = ["align", "--lang", "sw", *inputs(toy), "--out", str(tmp_path / "run")]
    said = polyclip(*given, *change)  # the last of a doubled option counts; a second --lang is a second language
    one_sentence(said, *words)
    assert not (tmp_path / "run").exists()


def test_a_language_without_captions(toy: dict[str, str], tmp_path: Path) -> None:
    said = polyclip("align", "--lang", "te", *inputs(toy), "--out", tmp_path / "run")
    one_sentence(said, "te (Telugu)", "en, sw")
    assert not (tmp_path / "run").exists()


EMPTY = b'{"image": "red-small.png", "captions": {"sw": [" "]}}'
LATIN = '{"image": "red-small.png", "captions": {"sw": ["mrab\u00e1"]}}'.encode("latin-1")


@pytest.mark.parametrize(("line", "words"), [(LATIN, "not UTF-8"), (EMPTY, "empty caption")])
def test_caption_files_that_are_not_utf8_or_have_an_empty_caption(
    toy: dict[str, str], line: bytes, words: str, tmp_path: Path
) -> None:
    pack = write_corpus(tmp_path / "corpus")
    lines = (pack.parent / "captions.jsonl").read_bytes().splitlines()
    (pack.parent / "captions.jsonl").write_bytes(b"\n".join([lines[0], line, *lines[2:]]))
    said = polyclip("align", "--lang", "sw", *inputs(toy | {"corpus": str(pack)}), "--out", tmp_path / "run")
    one_sentence(said, "captions.jsonl:2", words)
    assert not (tmp_path / "run").exists()


def test_a_folder_that_is_no_run(run: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    one_sentence(polyclip("align", "--lang", "sw", "--out", tmp_path / "mine"), "is not a run folder")
    one_sentence(polyclip("eval", "emoji", "--model", tmp_path / "mine"), "is not a run folder", "polyclip align")
    one_sentence(polyclip("eval", "emojii", "--model", run), "'emojii'", "'emoji'")


def test_pictures_that_cannot_be_read_are_named_skipped_and_counted(run: Path, tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    (pictures / "below").mkdir(parents=True)
    Image.new("RGB", (50, 40), "red").save(pictures / "red.png")
    Image.new("RGB", (50, 40), "blue").save(pictures / "below" / "blue.jpg")
    Image.new("1", (9000, 9000)).save(pictures / "enormous.png")
    (pictures / "letter.png").write_text("no picture")
    whole = (pictures / "red.png").read_bytes()
    (pictures / "half.png").write_bytes(whole[: len(whole) // 2])
    said = polyclip("search", "mraba nyekundu", "--images", pictures, "--model", run, "--html", tmp_path / "found.html")
    assert said.code == 0
    text = " ".join(said.out.split())
    assert "2 images searched, 3 skipped" in text
    for name, why in (
        ("enormous.png", "9000 x 9000 pixels"),
        ("letter.png", "not a readable image"),
        ("half.png", "damaged or truncated"),
    ):
        assert any(name in line and why in line for line in said.out.splitlines() if line.startswith("skipped")), (
            said.out
        )
    page = (tmp_path / "found.html").read_text("utf-8")
    assert page.count("<img") == 2 and "mraba nyekundu" in page


def test_search_without_query_or_pictures(run: Path, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    Image.new("RGB", (5, 5)).save(tmp_path / "a.png")
    one_sentence(polyclip("search", "  ", "--images", tmp_path, "--model", run), "empty")
    one_sentence(polyclip("search", "paka", "--images", tmp_path / "none", "--model", run), "has no image")
    one_sentence(polyclip("search", "paka", "--images", tmp_path / "nowhere", "--model", run), "is not a folder")
    (tmp_path / "none" / "bad.png").write_text("x")
    one_sentence(
        polyclip("search", "paka", "--images", tmp_path / "none", "--model", run), "None of the 1 images", "bad.png"
    )
    assert not Path("search.html").exists()


def test_a_disk_that_fills_while_features_are_written(
    toy: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel refuses files over 200 bytes: no write succeeds, and nothing half-written stays."""

    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))

    monkeypatch.setenv("POLYCLIP_CACHE", str(tmp_path / "cache"))
    check_leakage(load_corpus(toy["corpus"]), [])  # which keeps hashes; what follows is about features
    command = [sys.executable, "-m", "polyclip", "align", "--lang", "sw", *inputs(toy), "--out", str(tmp_path / "run")]
    environment = {
        "POLYCLIP_CACHE": str(tmp_path / "cache"),
        "HF_HUB_OFFLINE": "1",
        "PATH": "/usr/bin:/bin",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    done = subprocess.run(command, env=environment, preexec_fn=small_files, capture_output=True, text=True, timeout=120)  # noqa: PLW1509 (no threads yet)
    assert done.returncode == 2, done
    assert (
        "Cannot write" in done.stderr
        and "Nothing was left half-written" in done.stderr
        and "Traceback" not in done.stderr
    )
    assert [path for path in tmp_path.rglob("*") if path.is_file() and path.parent.name != "hashes"] == []


def test_a_test_picture_that_is_trained_on_is_refused_unless_a_reason_is_given(
    toy: dict[str, str], tmp_path: Path
) -> None:
    pack = write_corpus(tmp_path / "corpus")
    folder = pack.parent
    lines = [json.loads(line) for line in (folder / "captions.jsonl").read_text("utf-8").splitlines()]
    trained, tested = (next(line["image"] for line in lines if line["split"] == split) for split in ("train", "test"))
    (folder / tested).write_bytes((folder / trained).read_bytes())
    given = ["align", "--lang", "sw", *inputs(toy | {"corpus": str(pack)}), "--out", str(tmp_path / "run")]
    one_sentence(polyclip(*given), "toy (test) is not unseen", trained, tested, "--allow-leakage REASON")
    assert not (tmp_path / "run").exists()
    with start_process(*given, "--allow-leakage", "only to try") as allowed:
        assert allowed.wait(120) == 0
    found = json.loads((tmp_path / "run" / "result.json").read_text("utf-8"))["origin"]
    assert found["leakage"]["leaks"] == {"identical picture": 1} and found["leakage"]["allowed"] == "only to try"
    assert (
        "Not unseen: the test split shares 1 identical picture with the training split; allowed: only to try"
        in found["notes"]
    )
