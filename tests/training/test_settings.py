"""`--settings run.toml --set KEY=VALUE`: the same run again, or one with changes."""

import json
import tomllib
from pathlib import Path

import pytest

import polyclip
from tests import toy
from tests.command import polyclip as command


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("settings")
    towers = ["--text-encoder", toy.write_text_encoder(folder / "text")]
    towers += ["--vision-tower", toy.write_vision_tower(folder / "vision")]
    corpus = toy.write_corpus(folder / "corpus", french=True)
    given = ["--method", "heads", "--epochs", 3, "--batch-size", 8, "--seed", 4, "--encode-precision", "fp32"]
    found = command("align", "--lang", "sw", "--corpus", corpus, *towers, *given, "--out", folder / "first")
    assert found.code == 0, found
    return folder / "first"


def read(run: Path) -> tuple[dict, list[dict]]:
    settings = tomllib.loads((run / "run.toml").read_text("utf-8"))
    return settings, json.loads((run / "result.json").read_text("utf-8"))["scores"]


def test_the_same_settings_give_the_same_figures_and_weights(first: Path) -> None:
    for number, given in enumerate((first / "run.toml", first)):
        out = first.with_name(f"again-{number}")
        found = command("align", "--settings", given, "--out", out)
        assert found.code == 0, found
        assert read(out) == read(first)
        assert (out / "aligner.safetensors").read_bytes() == (first / "aligner.safetensors").read_bytes()


def test_a_change_is_made_and_nothing_else(first: Path) -> None:
    out = first.with_name("changed")
    changes = ["--set", "optimizer.learning_rate=1e-3", "--set", "heads.epochs=2", "--set", "languages=sw"]
    found = command("align", "--settings", first, *changes, "--out", out)
    assert found.code == 0, found
    wanted, settings = read(first)[0], read(out)[0]
    wanted["heads"] |= {"learning_rate": 1e-3, "epochs": 2}
    assert settings == wanted | {"languages": ["sw"]}
    result = polyclip.align(settings=first, changes=["heads.epochs=1"], output_dir=first.with_name("python"))
    assert result.result.run["heads"]["epochs"] == 1


def test_a_continued_run_is_made_again_from_the_same_weights_alone(first: Path) -> None:
    pack = first.parent / "corpus" / "toy.toml"
    given = ["--from", first, "--lang", "fr", "--corpus", pack, "--epochs", 2, "--batch-size", 8]
    assert command("align", *given, "--out", first.with_name("fr")).code == 0
    found = command("align", "--settings", first.with_name("fr"), "--out", first.with_name("fr2"))
    assert found.code == 0 and read(first.with_name("fr2"))[1] == read(first.with_name("fr"))[1], found
    other = command(
        "align", "--settings", first.with_name("fr"), "--set", f"continued.from={first.with_name('changed')}",
        "--out", first.with_name("fr3"),
    )  # fmt: skip
    assert other.code == 2 and "has other weights than the run that was continued" in other.err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--set", "optimizer.lerning_rate=1"], "Did you mean 'optimizer.learning_rate'"),
        (["--set", "heads.epochs=many"], "--set: heads.epochs = 'many', expected a whole number."),
        (["--set", "heads.epochs=1.5"], "--set: heads.epochs = 1.5, expected a whole number."),
        (["--set", "heads.epochs"], "--set heads.epochs: expected KEY=VALUE, such as heads.epochs=5."),
        (["--set", "recipe.method=haeds"], "No method called 'haeds'. Did you mean 'heads'"),
        (["--set", "sample=3"], "No setting called 'sample'."),
        (["--lang", "fr"], "decides --lang: omit it"),
        (["--epochs", 3], "decides --epochs: omit it"),
        (["--encode-precision", "bf16"], "decides --encode-precision: omit it, or write --set encode_precision=bf16."),
    ],
)
def test_wrong_settings_are_one_sentence(first: Path, tmp_path: Path, arguments: list[object], sentence: str) -> None:
    found = command("align", "--settings", first, "--out", tmp_path / "out", *arguments)
    assert found.code == 2 and found.err.startswith("error: ") and found.err.count("\n") == 1, found
    assert sentence in found.err, found.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (None, "cannot be read: No such file or directory"),
        ("a = [", "is not TOML"),
        ("corpus = 'emoji'", "has no 'languages'"),
    ],
)
def test_a_file_that_is_no_run(tmp_path: Path, text: str | None, sentence: str) -> None:
    if text is not None:
        (tmp_path / "x.toml").write_text(text, "utf-8")
    found = command("align", "--settings", tmp_path / "x.toml")
    assert found.code == 2 and sentence in found.err, found
    assert "--set requires --settings" in command("align", "--lang", "sw", "--set", "heads.epochs=1").err
