"""Scores of benchmarks: protocols, figures that can be worked out by hand, PARTIAL notes, and one real encoder."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import jaxtyping
import pytest
import torch
from PIL import Image

from polyclip.core.run_folder import write_settings
from polyclip.data.types import ImageSource
from polyclip.errors import UnknownName
from polyclip.evaluation.benchmarks import xm3600
from polyclip.evaluation.captioned import CaptionedDataset, Pool, score_home_and_away, score_protocols, select_languages
from polyclip.evaluation.facts import list_benchmarks
from polyclip.evaluation.results import Score
from polyclip.evaluation.retrieval import Items, Request
from polyclip.languages.schema import load_language
from polyclip.models.aligner import PolyCLIP
from polyclip.models.config import ModelConfig
from tests.command import CommandResult, polyclip
from tests.evaluation.benchmarks import samples
from tests.toy import write_text_encoder, write_vision_tower

COMMON = {"benchmark": "b", "split": "test", "language": "sw", "seen": True}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder of an untrained aligner with tiny random encoders: only what is around it is tested."""
    folder = tmp_path_factory.mktemp("run")
    recipe = ModelConfig(
        text_encoder=write_text_encoder(folder / "text"),
        vision_tower=write_vision_tower(folder / "vision"),
        method="heads",
        dim=16,
    )
    PolyCLIP(recipe).save(folder / "run" / "aligner.safetensors")
    write_settings(folder / "run", {"languages": ["sw"], "heads": {"seed": 0}})
    return folder / "run"


def table(captions: list[str], **more: Any) -> CaptionedDataset:
    """Captions of images a, b, c and d."""
    pictures = {key: ImageSource(key, key, partial(Image.new, "RGB", (1, 1))) for key in "abcd"}
    return CaptionedDataset(
        name="b",
        split="test",
        images=pictures,
        captions={"sw": [(key, f"{key} {n}") for n, key in enumerate(captions)]},
        **more,
    )


def value(scores: list[Score], protocol: str, direction: str, metric: str = "recall@1") -> Score:
    (found,) = [s for s in scores if (s.protocol, s.direction, s.metric) == (protocol, direction, metric)]
    return found


def test_protocols_by_hand() -> None:
    """Images are the axes.

    B's first caption points at a, its second at b; c and d are right; a's only caption is right.
    """
    axes = torch.eye(4)
    keys = ["a", "b", "b", "c", "d"]
    text, image = Items(axes[[0, 0, 1, 2, 3]], keys, keys), Items(axes, list("abcd"), list("abcd"))
    pool = Pool(frozenset("cd"), frozenset({"sw"}), "small")
    scores = score_protocols(text, image, table(keys, pools={"pool": pool}), COMMON)
    assert list(dict.fromkeys(s.protocol for s in scores)) == ["first-caption", "all-captions", "pool"]
    assert value(scores, "first-caption", "text_to_image").value == pytest.approx(3 / 4)
    assert value(scores, "all-captions", "text_to_image").value == pytest.approx(4 / 5)
    assert value(scores, "all-captions", "image_to_text").gallery == 5
    assert (value(scores, "pool", "text_to_image").gallery, value(scores, "pool", "text_to_image").value) == (2, 1.0)
    single = score_protocols(Items(axes, list("abcd"), list("abcd")), image, table(list("abcd")), COMMON)
    assert {s.protocol for s in single} == {"first-caption"}
    other = score_protocols(text, image, table(keys, pools={"pool": pool}), COMMON | {"language": "te"})
    assert "pool" not in {s.protocol for s in other}


def test_home_asks_with_its_own_pictures_and_searches_all() -> None:
    axes = torch.eye(4)
    keys = list("aabbccdd")
    vectors = axes[[0, 0, 0, 0, 2, 2, 3, 0]]  # both captions of b point at a; d's second as well
    homes = {"a": "sw", "b": "te", "c": "sw", "d": "te"}
    text, image = Items(vectors, keys, keys), Items(axes, list("abcd"), list("abcd"))
    scores = score_home_and_away(text, image, table(keys, homes=homes), COMMON)
    home, away = (value(scores, f"all-captions/{side}", "text_to_image") for side in ("home", "away"))
    assert (home.value, home.queries, home.gallery) == (1.0, 4, 4) and (away.value, away.queries, away.gallery) == (
        1 / 4,
        4,
        4,
    )
    home, away = (value(scores, f"all-captions/{side}", "image_to_text") for side in ("home", "away"))
    assert (home.queries, home.gallery, away.queries, away.gallery) == (2, 8, 2, 8)
    assert home.low <= home.value <= home.high


def test_languages_that_are_not_there(tmp_path: Path) -> None:
    te = load_language("te")
    with pytest.raises(UnknownName, match=r"language of b in .* called 'te'.*Known: sw"):
        select_languages(table(["a"]), Request(languages=[te], data=tmp_path))
    part = select_languages(table(["a"]), Request(languages=[te, load_language("sw")], data=tmp_path, partial=True))
    assert part.name == "b PARTIAL" and part.missing == ["no caption in te"]


def evaluated(run: Path, name: str, data: Path, out: Path, *more: object) -> tuple[CommandResult, dict]:
    said = polyclip("eval", name, "--model", run, "--data", data, "--json", out, *more)
    assert said.code == 0, said
    return said, json.loads(out.read_text("utf-8"))


def test_a_part_says_so_everywhere(run: Path, tmp_path: Path) -> None:
    said, result = evaluated(
        run, "xm3600", samples.xm3600(tmp_path / "x"), tmp_path / "x.json", "--partial", "--lang", "ar", "--lang", "te"
    )
    titles = [line for line in said.out.splitlines() if "first-caption ·" in line]
    assert len(titles) == 2 and all("PARTIAL" in title for title in titles) and "PARTIAL: 6 of 3600 images" in said.out
    assert {score["benchmark"] for score in result["scores"]} == {"xm3600 PARTIAL"}
    assert any("PARTIAL: 6 of 3600 images" in note for note in result["origin"]["notes"])
    ar = {
        s["protocol"]: s
        for s in result["scores"]
        if (s["language"], s["direction"], s["metric"]) == ("ar", "text_to_image", "recall@1")
    }
    assert list(ar) == ["first-caption", "all-captions", "all-captions/home", "all-captions/away"]
    assert [ar[name]["queries"] for name in ar] == [6, 12, 4, 8] and {score["gallery"] for score in ar.values()} == {6}
    assert {s["protocol"] for s in result["scores"] if s["language"] == "te"} == {
        "first-caption",
        "all-captions",
        "all-captions/away",
    }


@pytest.mark.parametrize(
    ("name", "sample", "more", "languages", "protocols_said"),
    [
        (
            "xtd200",
            lambda f: samples.flores(f, "test_image_names.txt", 5),
            ["--partial", "--lang", "sw"],
            {"sw"},
            {"first-caption"},
        ),
        ("wit", samples.wit, ["--partial"], {"ar", "ko", "tr"}, {"first-caption", "all-captions"}),
        ("webdataset", samples.webdataset, ["--lang", "swh_Latn"], {"sw"}, {"first-caption", "all-captions"}),
        ("retrieval", samples.retrieval, [], {"sw", "te"}, {"first-caption", "all-captions"}),
    ],
)
def test_scores_of_other_layouts(
    run: Path, name: str, sample: object, more: list[str], languages: set[str], protocols_said: set[str], tmp_path: Path
) -> None:
    said, result = evaluated(run, name, sample(tmp_path / "data"), tmp_path / "r.json", *more)  # type: ignore[operator]
    assert {score["language"] for score in result["scores"]} == languages and {
        score["protocol"] for score in result["scores"]
    } == protocols_said
    outside = [
        score
        for score in result["scores"]
        if not 0 <= score["low"] <= score["value"] + 1e-9 <= score["high"] + 2e-9 <= 1 + 3e-9
    ]
    assert not outside, [(s["metric"], s["direction"], s["queries"], s["low"], s["value"], s["high"]) for s in outside]
    assert {score["seen"] for score in result["scores"] if score["language"] == "sw"} <= {True}
    assert ("PARTIAL" in said.out) is ("--partial" in more)
    if name == "wit":
        assert "1 blank caption(s) dropped: ar 1" in said.out


def test_lilts_pool_is_named_and_warned_of(run: Path, tmp_path: Path) -> None:
    said, result = evaluated(
        run, "xtd10", samples.xtd10(tmp_path / "x"), tmp_path / "r.json", "--lang", "ko", "--lang", "ja"
    )
    pool = {s["language"]: s["gallery"] for s in result["scores"] if s["protocol"] == "xtd-200-of-1000 (LilT)"}
    assert pool == {"ko": 200} and {s["gallery"] for s in result["scores"] if s["protocol"] == "first-caption"} == {
        1000
    }
    assert "165 of them were in LilT's COCO training set" in said.out and "PARTIAL" not in said.out


def test_real_captions_by_the_real_encoder_in_two_layouts_score_the_same(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """e5-small as it comes.

    The tower is tiny and random, since what is compared is the same images read from two layouts.
    """
    aligner = PolyCLIP(
        ModelConfig(text_encoder="e5-small", vision_tower=write_vision_tower(tmp_path / "vision"), method="heads")
    ).eval()
    wanted = [load_language("te"), load_language("sw")]
    found = [
        xm3600.score(aligner, Request(data=sample(tmp_path / sample.__name__), languages=wanted, partial=True)).scores
        for sample in (samples.xm3600, samples.xm3600_babel)
    ]
    plain = [[s for s in scores if s.protocol in ("first-caption", "all-captions")] for scores in found]
    assert plain[0] == plain[1] != []
    assert {s.language for s in plain[0]} == {"te", "sw"}


def test_other_projects_formats_are_written_and_no_partial_result(run: Path, tmp_path: Path) -> None:
    data = samples.xtd10(tmp_path / "x")
    given = ["eval", "xtd10", "--model", run, "--data", data, "--lang", "ko", "--out", tmp_path / "out"]
    one_sentence(polyclip(*given, "--format", "csv"), "'csv'", "clip-benchmark")
    said = polyclip(*given, "--format", "clip-benchmark")
    assert said.code == 0, said.err
    (written,) = (tmp_path / "out").rglob("*.json")
    assert "image_retrieval_recall@1" in json.loads(written.read_text("utf-8"))[
        "metrics"
    ] and written.name in said.out.replace("\n", "")


def one_sentence(said: CommandResult, *words: str) -> None:
    assert said.code == 2 and said.err.count("\n") == 1 and said.err.startswith("error: "), said
    for word in words:
        assert word in said.err, (word, said.err)


def test_what_is_wrong_is_one_sentence_on_the_command_line(run: Path, tmp_path: Path) -> None:
    one_sentence(
        polyclip("eval", "xm3600", "--model", run), "--data DIR", "captions.jsonl", "polyclip corpora show xm3600"
    )
    one_sentence(polyclip("eval", "xtd10", "--model", run, "--data", tmp_path / "none"), "is not a folder")
    one_sentence(
        polyclip("eval", "xm3600", "--model", run, "--data", "hub"), "Cannot fetch floschne/xm3600", "HF_HUB_OFFLINE"
    )
    one_sentence(
        polyclip(
            "eval", "xm3600", "--model", run, "--data", samples.xm3600(tmp_path / "x"), "--json", tmp_path / "r.json"
        ),
        "has 6 images",
    )
    assert not (tmp_path / "r.json").exists()


def test_corpora_lists_and_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        jaxtyping.config, "jaxtyping_disable", True
    )  # typer hands a group's callback a context that is no typer.Context
    said = polyclip("corpora")
    assert said.code == 0 and all(name in said.out for name in ["emoji", *list_benchmarks()])
    shown = polyclip("corpora", "show", "xm3600")
    assert (
        all(word in shown.out for word in ("captions.jsonl", "CC-BY-4.0", "bn 3600", "8d3e5665526c"))
        and max(map(len, shown.out.splitlines())) <= 80
    )
    assert json.loads(polyclip("corpora", "show", "xtd10", "--json").out)["splits"]["test"]["captions"]["jp"] == 1000
    assert {entry["name"] for entry in json.loads(polyclip("corpora", "--json").out)["benchmarks"]} == set(
        list_benchmarks()
    )
    assert "openmoji" in polyclip("corpora", "show", "emoji").out
    one_sentence(polyclip("corpora", "show", "xm360"), "'xm360'", "'xm3600'")
