"""Two commands never write one run folder, and a killed one locks nobody out."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from polyclip.core.run_folder import LOCK, OWNER, check_folder, lock_folder, write_settings
from polyclip.errors import RunError
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
