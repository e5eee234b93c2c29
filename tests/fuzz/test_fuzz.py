"""Damaged files of every kind end in one sentence: the short form of `python scripts/fuzz.py`, and what once fell."""

import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from polyclip.core.registry import list_names
from tests.command import polyclip
from tests.fuzz.runner import Tally, judge, prepare, run_round, try_input
from tests.fuzz.targets import FOLDER, LAB, TARGETS, Target, write_lab

KEPT = Path(__file__).with_name("kept")
# The others take seconds, or are groups of commands, which typer and the type checks of pytest cannot both call.
CHEAP = [t for t in TARGETS if not t.name.startswith(("emoji", "language pack", "corpus.toml shown", "datasets"))]
BY_NAME = {target.name: target for target in TARGETS}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lab")
    write_lab(folder)
    return folder


def test_every_reader_is_a_target() -> None:
    """A reader of corpora without a target would never be tried."""
    named = " ".join(name for target in TARGETS for name in (target.name, *target.commands))
    kinds = {"webdataset": "tar", "jsonl": "captions.jsonl"}
    assert [name for name in list_names("readers") if kinds.get(name, name) not in named] == []
    assert len(BY_NAME) == len(TARGETS) > 60


@settings(
    max_examples=60,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(target=st.sampled_from(CHEAP), seed=st.integers(0, 10**6))
def test_damaged_files_end_in_one_sentence(lab: Path, target: Target, seed: int) -> None:
    shutil.rmtree(lab / "input", ignore_errors=True)
    _, found = try_input(lab, target, seed, lab / "input")
    assert found is None, found


@pytest.mark.parametrize("target", CHEAP[::4], ids=lambda target: target.name)
def test_what_is_not_damaged_is_read(lab: Path, target: Target) -> None:
    """A target whose valid form were refused would prove nothing."""
    folder = lab / "whole"
    for command in target.commands:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(prepare(lab, target), folder, symlinks=True)
        said = polyclip(*command.replace(FOLDER, str(folder)).replace(LAB, str(lab)).split())
        assert said.code == 0 and judge(said) == "", said


@pytest.mark.parametrize("path", sorted(KEPT.glob("*/*")), ids=lambda path: f"{path.parent.name}-{path.name}")
def test_what_once_fell(lab: Path, path: Path) -> None:
    target = next(target for target in TARGETS if prepare(lab, target).name == path.parent.name)
    folder = lab / "kept"
    for command in target.commands:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(prepare(lab, target), folder, symlinks=True)
        shutil.copyfile(path, folder / target.files[0])
        if target.repair:
            target.repair(folder)
        said = polyclip(*command.replace(FOLDER, str(folder)).replace(LAB, str(lab)).split())
        assert judge(said) == "", said


def test_a_process_that_hangs_or_dies_costs_its_own_input_alone(lab: Path, tmp_path: Path) -> None:
    """The harness itself: a limit of no time ends the first input, and the others are still tried."""
    tally = Tally()
    run_round(lab, tmp_path / "scratch", [("labels", 1), ("labels", 2)], tally, seconds=0.0)
    assert tally.tried["labels"] == 2 and {found.what for found in tally.findings} <= {"over 0 s"}
    assert tally.findings
