"""Two commands never write one run folder, and a killed one locks nobody out."""

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from polyclip.core.run_folder import LOCK, OWNER, check_folder, is_outside, lock_folder, write_settings
from polyclip.errors import RunError
from polyclip.search._format import lock_index
from polyclip.training.options import AlignOptions
from polyclip.training.request import resolve_request

HOLD = """
import sys, time
from pathlib import Path
from polyclip.core.run_folder import lock_folder, write_settings
with lock_folder(Path(sys.argv[1])):
    write_settings(Path(sys.argv[1]), {"seed": 0})
    print("held", flush=True)
    time.sleep(60)
"""


def hold(folder: Path) -> "subprocess.Popen[str]":
    """Hold the lock in another process."""
    running = subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True)
    assert running.stdout is not None and running.stdout.readline() == "held\n"
    return running


def test_the_second_is_refused_and_told_whose_it_is(tmp_path: Path) -> None:
    out = tmp_path / "runs" / "x"
    running = hold(out)
    try:
        with pytest.raises(RunError) as caught, lock_folder(out):
            pytest.fail("two at once")
        assert str(caught.value) == (
            f"{out} is being written by process {running.pid} on {socket.gethostname()}; wait until it has ended, or "
            "choose another --out."
        )
    finally:
        running.send_signal(signal.SIGKILL)
        running.wait()
    running.stdout.close()
    assert (out / OWNER).exists()  # stale
    with lock_folder(out):
        check_folder(out, {"seed": 0}, resume=True)
        assert (out / OWNER).read_text("utf-8") == f"process {os.getpid()} on {socket.gethostname()}"
    assert sorted(path.name for path in out.iterdir()) == ["run.toml"]


def test_one_process_holds_it_once(tmp_path: Path) -> None:
    with lock_folder(tmp_path / "x"):
        with pytest.raises(RunError, match=f"process {os.getpid()} on"), lock_folder(tmp_path / "x"):
            pytest.fail("two at once")
        with lock_folder(tmp_path / "y"):
            pass
    with lock_folder(tmp_path / "x"):
        pass


def test_a_request_that_fails_leaves_nothing(tmp_path: Path) -> None:
    out = tmp_path / "runs" / "deep" / "x"
    with pytest.raises(ValueError), lock_folder(out):  # noqa: PT011, PT012 (any error)
        assert (out / LOCK).exists()
        check_folder(out, {}, resume=False)  # the lock alone makes no stranger's folder of it
        raise ValueError
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.png").write_bytes(b"x")
    with pytest.raises(RunError, match="is not a run folder"), lock_folder(tmp_path / "photos"):
        check_folder(tmp_path / "photos", {}, resume=False)
    assert [path.name for path in (tmp_path / "photos").iterdir()] == ["a.png"]
    with pytest.raises(RunError, match="is not a run folder"), lock_folder(tmp_path / "photos" / "a.png"):
        check_folder(tmp_path / "photos" / "a.png", {}, resume=False)
    with pytest.raises(RunError, match="cannot be written: Not a directory"), lock_folder(tmp_path / "photos/a.png/x"):
        pass


@pytest.mark.parametrize(
    ("was", "now", "said"),
    [
        ({"seed": 0}, {"seed": 1}, "seed was 0, is now 1"),
        ({"seed": 0, "class_names": False}, {"seed": 0}, "class_names was False, is now not given"),
        ({"seed": 0}, {"seed": 0, "folds": 3}, "folds was not given, is now 3"),
        (
            {"sample": {"views": 1, "mix": {"nllb": 0.5}}},
            {"sample": {"views": 1}},
            "sample.mix was {'nllb': 0.5}, is now",
        ),
    ],
)
def test_settings_that_only_one_of_two_runs_has_tell_them_apart(
    tmp_path: Path, was: dict[str, Any], now: dict[str, Any], said: str
) -> None:
    tmp_path.joinpath("run").mkdir()
    write_settings(tmp_path / "run", was | {"advice": {"method": "heads"}})
    with pytest.raises(RunError, match=re.escape(f"holds a run with other settings: {said}")):
        check_folder(tmp_path / "run", now, resume=False)


def test_processes_of_one_job_share_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with lock_folder(tmp_path / "x"):
        monkeypatch.setenv("WORLD_SIZE", "2")
        monkeypatch.setenv("RANK", "1")
        with lock_folder(tmp_path / "x"):
            write_settings(tmp_path / "x", {"seed": 1})
        assert (tmp_path / "x" / OWNER).exists()
        monkeypatch.undo()


def test_the_default_folder_tells_seeds_apart() -> None:
    folders = [str(resolve_request(AlignOptions(lang=["sw"], seed=seed)).folder) for seed in (0, 1, 2)]
    assert folders == ["runs/sw-head-mlp", "runs/sw-head-mlp-seed-1", "runs/sw-head-mlp-seed-2"]


@pytest.mark.skipif(sys.platform == "win32", reason="makes links")
@pytest.mark.parametrize("name", [LOCK, "folds", "trials"])
def test_nothing_is_written_through_a_link_of_a_folder(name: str, tmp_path: Path) -> None:
    out, mine = tmp_path / "run", tmp_path / "mine"
    write_settings(out, {"seed": 0})
    if name == LOCK:
        mine.write_text("mine", "utf-8")
    else:
        mine.mkdir()
    (out / name).symlink_to(mine)
    with (
        pytest.raises(RunError, match=f"{name} is a link, through which polyclip would write outside"),
        lock_folder(out),
    ):
        pytest.fail("accepted")
    assert mine.is_dir() or mine.read_text("utf-8") == "mine"


def test_no_index_is_written_through_a_link(tmp_path: Path) -> None:
    out, mine = tmp_path / "index", tmp_path / "mine"
    out.mkdir()
    mine.write_text("mine", "utf-8")
    (out / "lock").symlink_to(mine)
    with pytest.raises(RunError, match="lock is a link, through which"), lock_index(out):
        pytest.fail("accepted")
    assert mine.read_text("utf-8") == "mine"


def test_a_link_to_a_file_is_replaced_and_its_target_is_left(tmp_path: Path) -> None:
    out, mine = tmp_path / "run", tmp_path / "mine"
    mine.write_text("mine", "utf-8")
    out.mkdir()
    for name in (OWNER, "run.toml"):
        (out / name).symlink_to(mine)
    with lock_folder(out):
        write_settings(out, {"seed": 0})
    assert mine.read_text("utf-8") == "mine" and not (out / "run.toml").is_symlink()


def test_only_links_to_other_folders_lead_outside(tmp_path: Path) -> None:
    """The hub's cache keeps files as links to `blobs` beside its `snapshots`."""
    shot, secret = tmp_path / "hub" / "snapshots" / "c0ffee", tmp_path / "secret"
    shot.mkdir(parents=True)
    (tmp_path / "hub" / "blobs").mkdir()
    for path in (secret, tmp_path / "hub" / "blobs" / "1", shot / "b"):
        path.write_text("x", "utf-8")
    (shot / "a").symlink_to(Path("../../blobs/1"))
    (shot / "c").symlink_to("b")
    (shot / "d").symlink_to(secret)
    assert [is_outside(shot / name) for name in "abcd"] == [False, False, False, True]
