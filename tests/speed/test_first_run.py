"""The table of whole runs, and what a run is made of."""

import json
import subprocess
from pathlib import Path

import pytest
from rich.console import Console

from speed import first_run
from speed.first_run import CACHED, EMPTY, TimedRun, make_table, time_run


def test_the_table_has_medians_and_compares_with_matrix_products() -> None:
    parts = {"encode": 50.0, "train": 30.0, "evaluate": 10.0}
    runs = [TimedRun(EMPTY, 100.0, parts, 2e11)]
    runs += [TimedRun(CACHED, seconds, parts | {"encode": seconds / 10}, 1e11) for seconds in (30.0, 20.0, 40.0)]
    console = Console(width=100, record=True)
    console.print(make_table(runs))
    lines = [line.split() for line in console.export_text().splitlines()]
    assert ["empty", "cache", "│", "1", "│", "100.0", "│", "50", "│", "30", "│", "10", "│", "200", "│", "20.0"] in [
        line[1:-1] for line in lines
    ]
    assert any(line[1:5] == ["features", "cached", "│", "3"] and "30.0" in line and "3.0" in line for line in lines)


def test_a_run_is_the_command_with_a_cache_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[list[str], dict[str, str]]] = []

    def run(command: list[str], *, env: dict[str, str], **_: object) -> None:
        asked.append((command, env))
        out = Path(command[-1])
        out.mkdir()
        (out / "result.json").write_text(json.dumps({"seconds": {"encode": 1, "train": 2, "evaluate": 3, "x": 4}}))

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(first_run, "measure_rate", lambda _: 1e9)
    found = time_run(EMPTY, "te", tmp_path, 0)
    assert found.parts == {"encode": 1, "train": 2, "evaluate": 3} and found.rate == 1e9
    [(command, environment)] = asked
    assert command[1:-2] == ["-m", "polyclip", "align", "--lang", "te"]
    assert environment["POLYCLIP_CACHE"] == str(tmp_path / "cache") and environment["HF_HUB_OFFLINE"] == "1"
