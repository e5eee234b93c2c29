"""A run that is stopped at any moment goes on with --resume and ends with the same weights, bit for bit."""

import signal
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from safetensors.torch import load_file
from torch import equal

from tests.command import kill_when, polyclip
from tests.toy import write_corpus, write_text_encoder, write_vision_tower

EPOCHS = {"heads": 80, "lilt-ln": 20}  # enough that a run is still under way when it is killed


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("toy")
    corpus, text, vision = (
        write_corpus(folder / "corpus"),
        write_text_encoder(folder / "text"),
        write_vision_tower(folder / "vision"),
    )
    return {"corpus": str(corpus), "text": text, "vision": vision}


def arguments(toy: dict[str, str], method: str, out: Path) -> list[object]:
    inputs = ["--corpus", toy["corpus"], "--text-encoder", toy["text"], "--vision-tower", toy["vision"]]
    return [
        "align",
        "--lang",
        "sw",
        "--method",
        method,
        *inputs,
        "--epochs",
        EPOCHS[method],
        "--batch-size",
        8,
        "--seed",
        3,
        "--out",
        out,
    ]


@pytest.fixture(scope="module")
def uninterrupted(toy: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Runs that nothing stopped, by method; each is trained once."""
    folder = tmp_path_factory.mktemp("whole")

    @cache
    def run(method: str) -> Path:
        assert polyclip(*arguments(toy, method, folder / method)).code == 0
        return folder / method

    return run


def same_weights(one: Path, other: Path) -> bool:
    first, second = (load_file(folder / "aligner.safetensors") for folder in (one, other))
    return first.keys() == second.keys() and all(equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(
    ("method", "phase", "how"),
    [("heads", "heads", signal.SIGKILL), ("lilt-ln", "lilt-ln", signal.SIGKILL), ("lilt-ln", "lilt-ln", signal.SIGINT)],
)
def test_killed_and_resumed(
    toy: dict[str, str],
    uninterrupted: Callable[[str], Path],
    method: str,
    phase: str,
    how: signal.Signals,
    tmp_path: Path,
) -> None:
    whole, broken = uninterrupted(method), tmp_path / "broken"
    checkpoint = broken / f"checkpoint-{phase}.safetensors"
    code, said = kill_when(checkpoint.exists, arguments(toy, method, broken), how)
    assert checkpoint.exists() and not (broken / "aligner.safetensors").exists(), (
        "it was stopped too late to prove anything"
    )
    if how is signal.SIGINT:
        assert code == 130 and "--resume" in said and "Traceback" not in said
    refused = polyclip(*arguments(toy, method, broken))
    assert refused.code == 2 and "add --resume" in refused.err
    assert polyclip(*arguments(toy, method, broken), "--resume").code == 0
    assert same_weights(whole, broken)
    assert {path.name for path in broken.iterdir()} == {
        "README.md",
        "run.toml",
        "aligner.safetensors",
        "result.json",
        "result.ranks.safetensors",
        "log.jsonl",
    }
    assert (whole / "log.jsonl").read_text().count("\n") == (broken / "log.jsonl").read_text().count("\n")


def test_resume_of_a_run_that_never_began_begins(toy: dict[str, str], tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert polyclip(*arguments(toy, "heads", out), "--resume").code == 0
    assert (out / "aligner.safetensors").exists()


def test_other_settings_are_refused_by_name(toy: dict[str, str], tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert polyclip(*arguments(toy, "heads", out)).code == 0
    said = polyclip(*arguments(toy, "heads", out)[:-3], 4, "--out", out)
    assert said.code == 2 and "heads.seed was 3, is now 4" in said.err
