"""Counting parameters from configurations alone: the figures of LilT's table for BERT-base and ViT-B/16."""

import json
from pathlib import Path

import jaxtyping
import pytest

from polyclip.core.registry import list_names
from tests.command import CommandResult, polyclip

# Heads of 256 dimensions and a logit scale: 2 (768 * 256 + 256) + 1.
TRAINED = {
    "heads": 393_729,
    "lilt-ln": 470_529,
    "lilt-bf": 598_785,
    "lilt-lwa": 14_595_585,
    "lilt-lwa-ln": 14_672_385,
    "lilt-lwa-bf": 14_800_641,
    "lilt-da": 14_571_009,
    "lilt-da-ln": 14_646_273,
    "lit": 109_285_377,
    "lit-reversed": 86_238_465,
    "full": 195_130_113,
}


@pytest.fixture(autouse=True)
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """typer hands a group's callback a context that is no typer.Context, whatever its signature says: the shape checks
    would stop there.
    """
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bert") / "config.json"
    path.write_text('{"model_type": "bert"}', "utf-8")
    return path


def count(method: str, config: Path, *more: object, vision: str = "vit_base_patch16_224") -> CommandResult:
    return polyclip("methods", "count", method, "--text-config", config, "--vision", vision, *more)


@pytest.mark.parametrize("method", TRAINED)
def test_trained_parameters_are_those_of_the_paper(method: str, config: Path) -> None:
    said = count(method, config, "--image-size", 256, "--head-dim", 256, "--json")
    assert (said.code, said.err) == (0, "")
    found = json.loads(said.out)
    assert list(found) == ["trained", "total", "share"]
    assert found["trained"] == TRAINED[method]
    assert found["share"] == found["trained"] / found["total"]


def test_total_is_the_towers_the_heads_and_what_was_added(config: Path) -> None:
    totals = {
        method: json.loads(count(method, config, "--image-size", 256, "--head-dim", 256, "--json").out)["total"]
        for method in ("heads", "lit", "lilt-lwa")
    }
    assert totals["heads"] == totals["lit"] == TRAINED["full"]
    assert totals["lilt-lwa"] == TRAINED["full"] + TRAINED["lilt-lwa"] - TRAINED["heads"]


def test_one_tower_some_layers_and_another_rank(config: Path) -> None:
    def trained(method: str, *more: object) -> int:
        return json.loads(count(method, config, "--head-dim", 256, "--json", *more).out)["trained"] - TRAINED["heads"]

    assert (
        trained("lilt-ln", "--train-towers", "text") == 25 * 2 * 768
    )  # among the embeddings, and two in each of twelve layers
    assert trained("lilt-ln", "--train-towers", "vision") == 25 * 2 * 768  # two in each of twelve blocks, and the last
    assert trained("lilt-ln", "--text-layers", ":2", "--vision-layers", "-1:") == (4 + 2) * 2 * 768
    a_layer = 4 * (768 + 768) + 2 * (
        768 + 3072
    )  # in and out of query, key, value, output and the two of the feed-forward part
    assert trained("lora", "--train-towers", "text") == 8 * 12 * a_layer
    assert trained("lora", "--train-towers", "text", "--rank", "4,text.attention=0") == 4 * 12 * 2 * (768 + 3072)


def test_a_table_for_people_says_the_same(config: Path) -> None:
    said = count("heads", config)
    assert said.code == 0 and "393,729" in said.out and "%" in said.out


def test_a_convolutional_tower_and_a_picture_size(config: Path) -> None:
    own, other = (
        json.loads(count("lit-reversed", config, "--json", *more, vision="resnet18").out)
        for more in ((), ("--image-size", 96))
    )
    assert own == other


def test_methods_are_listed_with_one_line_each() -> None:
    said = polyclip("methods", "--json")
    assert (said.code, said.err) == (0, "")
    rows = json.loads(said.out)
    assert [row["method"] for row in rows] == list_names("methods") != []
    assert all(row["about"] and "\n" not in row["about"] for row in rows)
    table = polyclip("methods")
    assert table.code == 0 and all(name in table.out for name in list_names("methods"))


@pytest.mark.parametrize(
    ("method", "vision", "more", "message"),
    [
        ("lilt-lm", "vit_base_patch16_224", (), "No method called 'lilt-lm'. Did you mean 'lilt-ln'"),
        (
            "heads",
            "vit_base_patch16_225",
            (),
            "No timm model called 'vit_base_patch16_225'. Did you mean 'vit_base_patch16_224'",
        ),
        ("lora", "vit_base_patch16_224", ("--rank", "text.head=4"), "Rank rule 'text.head=4' cannot be parsed"),
        ("lilt-da", "vit_base_patch16_224", ("--text-layers", ":4"), "leave out text layers ':4'"),
        (
            "lilt-lwa",
            "vit_base_patch16_224",
            ("--vision-layers", "12:"),
            "vision layers '12:' hold none of the 12 layers",
        ),
    ],
)
def test_errors_are_one_sentence(config: Path, method: str, vision: str, more: tuple[str, ...], message: str) -> None:
    said = count(method, config, *more, vision=vision)
    assert said.code == 2 and said.out == ""
    assert said.err.startswith("error: ") and message in said.err
    assert said.err.count("\n") == 1 and "Traceback" not in said.err


def test_a_missing_and_a_bad_configuration_are_one_sentence(tmp_path: Path) -> None:
    missing = count("heads", tmp_path / "config.json")
    assert (
        missing.code == 2 and f"{tmp_path / 'config.json'} is missing" in missing.err and missing.err.count("\n") == 1
    )
    for text in ("{", '{"model_type": "no such family"}', '{"hidden_size": 3}', "[]"):
        path = tmp_path / "bad.json"
        path.write_text(text, "utf-8")
        bad = count("heads", path)
        assert bad.code == 2 and bad.err.startswith("error: ") and "bad.json" in bad.err and bad.err.count("\n") == 1, (
            text
        )
