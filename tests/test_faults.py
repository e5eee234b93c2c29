"""The seeded faults of scripts/faults.toml can still be planted."""

from collections import Counter
from importlib import import_module
from pathlib import Path

import pytest

from tests.script import FOLDER, load_script

ROOMS = (
    "data",
    "models",
    "vocabulary",
    "training",
    "evaluation",
    "search",
    "server",
    "exporters",
    "translation",
    "studies",
    "core",
)


def test_every_text_stands_once_in_its_file_and_every_test_is_there() -> None:
    script = load_script("plant_faults")
    faults = script.read_faults()
    assert script.find_outdated(faults) == []
    assert len(faults) >= 90 and {fault.room for fault in faults} == set(ROOMS)
    assert [text for text, count in Counter(fault.breaks for fault in faults).items() if count > 1] == []
    for fault in faults:  # a fault that does not compile says nothing about tests
        path = script.ROOT / fault.file
        compile(path.read_text("utf-8").replace(fault.old, fault.new), str(path), "exec")


def test_a_text_that_is_gone_and_a_missing_test_are_named(tmp_path: Path) -> None:
    script = load_script("plant_faults")
    (tmp_path / "a.py").write_text("x = 1\nx = 1\n", "utf-8")
    one = {"room": "data", "breaks": "x", "file": "a.py", "new": "x = 3", "tests": ["tests/test_a.py"]}
    found = script.find_outdated([script.Fault(old="x = 1", **one), script.Fault(old="x = 2", **one)], tmp_path)
    assert [line.partition(" times")[0][-1:] for line in found if "stands" in line] == ["2", "0"]
    assert sum("tests/test_a.py is missing" in line for line in found) == 2


@pytest.mark.slow
def test_a_planted_fault_turns_a_test_red_and_is_taken_out_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    script = import_module("plant_faults")  # by its name, which its processes import too
    (tmp_path / "pytest.ini").write_text("[pytest]\n", "utf-8")
    (tmp_path / "code.py").write_text("def one() -> int:\n    return 1\n", "utf-8")
    (tmp_path / "test_code.py").write_text(
        "from pathlib import Path\ndef test_one():\n    assert 'return 1' in Path('code.py').read_text()\n", "utf-8"
    )
    one = {"room": "data", "breaks": "x", "file": "code.py", "old": "return 1", "tests": ["test_code.py"]}
    assert script.plant(script.Fault(new="return 2", **one), tmp_path) == "test_code.py::test_one"
    assert script.plant(script.Fault(new="return 1  # the same", **one), tmp_path) == ""
    assert "return 1\n" in (tmp_path / "code.py").read_text("utf-8")
    with pytest.raises(RuntimeError, match="pytest ended with"):
        script.run_tests(tmp_path, "test_gone.py")
