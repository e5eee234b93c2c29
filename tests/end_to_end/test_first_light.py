"""The first run on real weights, real pictures and captions people wrote, encoded in the format that is this machine's
default: a smaller tower and smaller pictures than the default has, for speed.
"""

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import polyclip
from polyclip.core.encode_precision import VARIABLE
from polyclip.core.toml import CORPORA
from polyclip.data.readers import emoji
from polyclip.languages.schema import list_languages, load_language
from tests.command import CommandResult
from tests.command import polyclip as command

Scores = dict[tuple[str, str], dict[str, Any]]  # (language, metric) -> score


@pytest.fixture(scope="module", autouse=True)
def own_format() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(VARIABLE)
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, CommandResult]:
    out = tmp_path_factory.mktemp("runs") / "sw"
    said = command(
        "align", "--lang", "sw", "--method", "heads", "--vision-tower", "efficientnet-lite0:,size=96", "--out", out
    )
    assert said.code == 0, said
    return out, said


@pytest.fixture(scope="module")
def result(run: tuple[Path, CommandResult]) -> dict[str, Any]:
    return json.loads((run[0] / "result.json").read_text("utf-8"))


def headline(result: dict[str, Any], direction: str = "text_to_image") -> Scores:
    first = result["scores"][0]["protocol"]
    return {
        (s["language"], s["metric"]): s
        for s in result["scores"]
        if (s["protocol"], s["direction"]) == (first, direction)
    }


def test_it_finds_concepts_it_never_saw(result: dict[str, Any]) -> None:
    for direction in ("text_to_image", "image_to_text"):
        scores = headline(result, direction)
        for language, least in (("en", 0.33), ("sw", 0.26), ("de", 0.22), ("hi", 0.22)):
            score = scores[language, "recall@10"]
            assert score["value"] > least, score
            assert score["chance"] < 0.04 and score["low"] <= score["value"] <= score["high"]
        assert scores["en", "median_rank"]["value"] < 0.08


def test_the_schema_other_tools_read(result: dict[str, Any]) -> None:
    assert set(result) == {"schema", "run", "model", "seconds", "scores", "means", "origin"} and result["schema"] == 1
    facts = {
        "method",
        "text_encoder",
        "vision_tower",
        "trained_parameters",
        "total_parameters",
        "trained_share",
        "trained_share_without_embeddings",
    }
    assert facts <= set(result["model"])
    assert set(result["seconds"]) == {"encode", "train", "evaluate"}
    assert {"hashes", "versions", "seed", "counts"} <= set(result["origin"])
    keys = {
        "benchmark",
        "protocol",
        "split",
        "language",
        "seen",
        "direction",
        "metric",
        "value",
        "low",
        "high",
        "queries",
        "gallery",
        "chance",
        "p_chance",
    }
    for score in result["scores"]:
        assert set(score) == keys
        assert all(0 <= score[key] <= 1 for key in ("value", "low", "high", "chance"))
    assert {s["metric"] for s in result["scores"]} == {
        "recall@1",
        "recall@5",
        "recall@10",
        "mean_recall",
        "mrr",
        "ndcg@10",
        "median_rank",
    }
    assert {s["split"] for s in result["scores"]} == {"test"}


def test_trained_and_never_trained_languages_are_told_apart(result: dict[str, Any]) -> None:
    seen = {s["language"]: s["seen"] for s in result["scores"]}
    assert {language for language, trained in seen.items() if trained} == {"sw", "en"}
    xm3600 = {code for code in list_languages() if load_language(code).xm3600}
    assert len(xm3600) == 36 and xm3600 <= set(seen)


def test_counts_are_those_of_the_file(run: tuple[Path, CommandResult], result: dict[str, Any]) -> None:
    saved = load_file(run[0] / "aligner.safetensors")
    constants = ("mean", "deviation", "spread", "lengths", "space")
    trained = sum(t.numel() for name, t in saved.items() if not name.endswith(constants) and ".names." not in name)
    model = result["model"]
    assert model["trained_parameters"] == trained
    assert model["trained_share"] == pytest.approx(trained / model["total_parameters"])
    assert model["trained_share_without_embeddings"] == pytest.approx(
        trained / (model["total_parameters"] - 250_037 * 384)
    )
    assert sum(path.stat().st_size for path in run[0].iterdir()) < 10_000_000


def test_it_finds_photographs_although_it_learnt_from_drawings(run: tuple[Path, CommandResult], tmp_path: Path) -> None:
    """On the validation split of a package of Debian: the test split is for the README."""
    asked = [text for code in ("en", "de", "sw") for text in ("--lang", code)]
    written = tmp_path / "photographs.json"
    said = command(
        "eval", "tuxpaint-stamps", "--model", run[0], "--data", "/", "--split", "validation", *asked, "--json", written
    )
    assert said.code == 0, said
    found = {
        (s["language"], s["protocol"], s["metric"]): s
        for s in json.loads(written.read_text())["scores"]
        if s["direction"] == "text_to_image"
    }
    for language, least in (("en", 0.30), ("de", 0.17)):
        score = found[language, "photographs", "recall@10"]
        assert score["gallery"] == 235 and score["value"] > least > 3 * score["chance"], score
    assert found["en", "drawings", "recall@10"]["value"] > 0.5


def test_what_is_printed(run: tuple[Path, CommandResult], result: dict[str, Any]) -> None:
    folder, said = run
    assert (
        max(len(line) for line in said.out.splitlines() if str(folder) not in line and " parameters " not in line) <= 80
    )
    for words in (
        "trained",
        "unseen (zero-shot)",
        "sw Swahili",
        "mi Māori",
        "95 % interval",
        f"{result['model']['trained_parameters']:,}",
        str(folder),
    ):
        assert words in said.out, words
    value = headline(result)["sw", "recall@10"]["value"]
    assert f"{100 * value:.1f} [" in said.out
    assert tomllib.loads((folder / "run.toml").read_text())["languages"] == ["sw", "en"]
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == list(range(len(lines)))
    assert 3 * lines[0]["validation"] < lines[-1]["validation"]  # class names find some before anything is trained


def test_eval_gives_the_same_figures_and_others(
    run: tuple[Path, CommandResult], result: dict[str, Any], tmp_path: Path
) -> None:
    out = tmp_path / "some.json"
    said = command("eval", "emoji", "--model", run[0], "--lang", "swh_Latn", "--lang", "Yoruba", "--json", out)
    assert said.code == 0 and "yo Yoruba" in said.out
    scores = headline(json.loads(out.read_text("utf-8")))
    assert scores["sw", "recall@10"] == headline(result)["sw", "recall@10"]
    assert scores["yo", "recall@10"]["seen"] is False
    validation = command("eval", "emoji", "--model", run[0], "--lang", "sw", "--split", "validation", "--json", out)
    assert validation.code == 0 and headline(json.loads(out.read_text("utf-8")))["sw", "recall@1"]["gallery"] < 200


def test_the_api_gives_unit_vectors_that_mean_something(run: tuple[Path, CommandResult]) -> None:
    model = polyclip.load(run[0])
    drawn = emoji.pictures(CORPORA / "emoji", "noto")
    things = {
        "mbwa": "1F436",
        "farasi": "1F40E",
        "gari": "1F697",
        "jua": "2600",
        "kitabu": "1F4D6",
        "baiskeli": "1F6B2",
    }
    pictures = [drawn[concept].open() for concept in things.values()]
    image = model.encode_image(pictures)
    text = model.encode_text(list(things))
    for vectors in (text, image):
        assert (
            vectors.dtype == torch.float32
            and vectors.device.type == "cpu"
            and vectors.shape == (len(things), text.shape[1])
        )
        torch.testing.assert_close(vectors.norm(dim=1), torch.ones(len(things)))
    right = (text @ image.T).argmax(1) == torch.arange(len(things))
    assert right.sum() >= 4, text @ image.T
    alone = torch.cat([model.encode_image([picture]) for picture in pictures])
    torch.testing.assert_close(alone, image, atol=1e-5, rtol=0)
    cut_out = Image.new("RGBA", (128, 128), (0, 0, 0, 0))
    cut_out.paste(Image.new("RGBA", (60, 60), "red"), (30, 30))
    on_white = Image.new("RGB", (128, 128), "white")
    on_white.paste(Image.new("RGB", (60, 60), "red"), (30, 30))
    torch.testing.assert_close(model.encode_image([cut_out]), model.encode_image([on_white]))
    assert model.encode_text([]).shape == model.encode_image([]).shape == (0, text.shape[1])
    for call, message in (
        (lambda: model.encode_text(["mbwa", " "]), "Caption 1 of 2 is empty"),
        (lambda: model.encode_text(" "), "Caption 0 of 1 is empty"),
        (lambda: model.encode_image(["mbwa.png"]), "mbwa.png: cannot be read"),
        (lambda: model.encode_image([b"bytes"]), "Image 0 of 1 is a bytes"),
    ):
        with pytest.raises(polyclip.errors.DataError, match=message):
            call()


def test_search_puts_the_right_picture_first(run: tuple[Path, CommandResult], tmp_path: Path) -> None:
    drawn = emoji.pictures(CORPORA / "emoji", "noto")
    (tmp_path / "pictures").mkdir()
    for name, concept in {"paka": "1F408-200D-2B1B", "ndizi": "1F34C", "gari": "1F697", "saa": "231A"}.items():
        drawn[concept].open().save(tmp_path / "pictures" / f"{name}.png")
    said = command(
        "search",
        "paka mweusi",
        "--images",
        tmp_path / "pictures",
        "--model",
        run[0],
        "--html",
        tmp_path / "found.html",
        "--top",
        2,
    )
    assert said.code == 0
    first = next(line for line in said.out.splitlines() if " 1 " in line)
    assert "paka.png" in first
    page = (tmp_path / "found.html").read_text("utf-8")
    assert page.index("paka.png") < page.index("</ol>") and page.count("<img") == 2
