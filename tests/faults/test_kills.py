"""A short form of `python -m tests.faults.kills`: kills at changes of files, in two small commands."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.kills import compare, find_partial

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(sys.platform == "win32", reason="forks")
def test_killed_commands_given_again_end_as_undisturbed_ones() -> None:
    """In a process of its own, since it forks."""
    cases = ["--case", "ridge", "--case", "translate"]
    command = [sys.executable, "-W", "ignore", "-m", "tests.faults.kills", *cases, "--random", "0", "--aimed", "4"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    kills, faults = re.search(r"(\d+) kills, (\d+) faults", done.stdout).groups()
    assert int(kills) >= 6 and int(faults) == 0


def test_what_is_left_behind_missing_or_half_written_is_noticed(tmp_path: Path) -> None:
    assert compare({"a": b"1", "b": b"2"}, {"a": b"1", "b": b"2"}) == []
    assert compare({"a": b"1", "x": b""}, {"a": b"2", "b": b""}) == ["left behind: x", "missing: b", "differs: a"]
    for name, data in (("a.json", b'{"a": '), ("b.toml", b"a = "), ("c.safetensors", b"half"), (".d.json", b"{")):
        (tmp_path / name).write_bytes(data)
    assert [line.split()[0] for line in find_partial(tmp_path)] == ["a.json", "b.toml", "c.safetensors"]
