"""`python -m speed.run`: a part in its smallest size, what it stores, and how it refuses."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from speed import growth, run, training
from speed._trial import Material, build_judge
from speed._turns import BenchmarkError, Job, Measurement, measure_in_turns, run_once
from tests.script import load_script

ROOT = Path(__file__).parents[2]


def printed(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "COLUMNS": "80"}
    return subprocess.run(
        [sys.executable, "-m", "speed.run", *arguments], cwd=ROOT, capture_output=True, text=True, env=environment
    )


def test_a_part_prints_and_stores_every_contender(tmp_path: Path) -> None:
    done = printed("--only", "c", "--quick", "--rounds", "1", "--out", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 80
    (path,) = tmp_path.iterdir()
    stored = json.loads(path.read_text("utf-8"))
    assert path.name == "scores.json" and stored["versions"]["torch"] and stored["date"]
    assert [row["name"] for row in stored["rows"]] == ["CLIP_benchmark", "polyclip, recall", "polyclip, everything"]
    assert all(
        row["name"] in done.stdout and row["seconds"] > 0 and row["peak_mb"] > 50 and row["share"] > 0
        for row in stored["rows"]
    )
    assert 0 < stored["recalls"]["text_to_image 1"] <= stored["recalls"]["text_to_image 10"] <= 1
    assert os.uname().nodename not in path.read_text("utf-8") and str(ROOT) not in path.read_text("utf-8")


def test_a_part_that_does_not_exist_is_refused_in_one_sentence(tmp_path: Path) -> None:
    done = printed("--only", "a,x", "--out", str(tmp_path))
    assert (done.returncode, done.stdout, list(tmp_path.iterdir())) == (2, "", [])
    assert (
        done.stderr.strip()
        == "Error: --only a,x: no part called 'x'; expected some of a (training), b (encoding), c (scores), d (growth)."
    )


def test_training_in_turns_is_refused_where_memory_would_not_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "measure_free_memory", lambda: 7.9)
    with pytest.raises(
        BenchmarkError,
        match=(
            r"^Training in turns requires 26 GB of memory, 8 GB are free\. Free some memory, or add "
            r"--one-at-a-time\.$"
        ),
    ):
        run.check_memory(["a"], False, True)
    run.check_memory(["a"], False, False)
    run.check_memory(["b", "c", "d"], False, True)


def first(settings: dict, turn) -> None:
    """A contender: how often its turn has come, up to twice."""
    turn(name="first")
    for number in (1, 2):
        turn(seconds=number, at=settings["at"])


def broken(settings: dict, turn) -> None:
    turn()
    raise ValueError("no matrix")


def test_contenders_take_turns_and_a_failure_says_whose_it_is(tmp_path: Path) -> None:
    here = "tests.speed.test_run"
    found = measure_in_turns(
        [Job("one", f"{here}:first", {"at": 1}), Job("two", f"{here}:first", {"at": 2})], 3, tmp_path, lambda _: None
    )
    assert [(m.name, m.ready["name"], [r["seconds"] for r in m.rounds], m.rounds[0]["at"]) for m in found] == [
        ("one", "first", [1, 2], 1),
        ("two", "first", [1, 2], 2),
    ]
    with pytest.raises(BenchmarkError, match=r"^the second failed: ValueError: no matrix$"):
        run_once(Job("the second", f"{here}:broken"), tmp_path, lambda _: None)


def contender(name: str, start: float, rounds: list[tuple[float, float]], **ready: float) -> Measurement:
    said = [{"seconds": s, "processor": 2 * s, "joules": 10 * s, "steps": 3, "recall": r} for s, r in rounds]
    return Measurement(name, {"recall": start, **ready}, [*said, {"flops": 60.0}], 100.0)


def test_the_recall_to_be_reached_is_one_that_all_reach() -> None:
    slow = contender(training.BASE, 0.1, [(30.0, 0.1), (30.0, 0.2), (36.0, 0.3)])
    fast = contender("heads", 0.1, [(3.0, 0.25), (3.0, 0.5), (3.0, 0.4)], setup=1.0)
    rows, threshold = training.build_rows([slow, fast], rate=600.0, encoding=99.0, steps=100)
    assert threshold == 0.3
    assert [(row.seconds_to, row.processor_to, row.joules_to) for row in rows] == [
        (96.0, 192.0, 960.0),
        (6.0, 12.0, 60.0),
    ]
    assert [row.of_base for row in rows] == [1.0, 10.0] and rows[1].share == pytest.approx(60 / 1 / 600)
    assert rows[1].with_encoding == 106.0 and rows[1].of_base_with_encoding == pytest.approx(10 / (1 + 100 / 100))


def test_a_contender_with_a_damaged_tower_is_refused() -> None:
    seen = torch.eye(3)
    material = Material([], [], seen, seen, seen, seen)
    for says, right in ((2 * seen, True), (seen.flip(0), False)):
        judge = build_judge(torch.nn.Identity(), material, lambda says=says: says, lambda images: (images, images))
        if right:
            assert judge() == 1.0
        else:
            with pytest.raises(
                RuntimeError, match="locked tower's vectors have a cosine of 0.000 to those of the same weights in timm"
            ):
                judge()


def test_the_plot_of_growth_is_drawn(tmp_path: Path) -> None:
    cell = {"rounds": 1, "items": 10, "peak_mb": 500.0, "encode": 1.0, "train": 0.0}
    growth.draw_plot(
        {"cells": [{"kind": kind, "at": at, **cell} for kind in growth.TITLES for at in (1, 10)]},
        tmp_path / "growth.png",
    )
    assert (tmp_path / "growth.png").stat().st_size > 5000


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ([1.97, 0.71, 1.92], [0.71, 1.97]),  # the labels of 1.92 and 1.97 would overlap
        ([0.09, 0.71, 9.13], [0.09, 0.71, 9.13]),
        ([1.0, 2.0], [1.0, 2.0]),
    ],
)
def test_no_two_labels_of_the_plot_overlap(values: list[float], ticks: list[float]) -> None:
    assert growth.choose_ticks(values) == ticks


def test_the_tables_of_the_pages_are_what_their_script_writes() -> None:
    written = load_script("build_speed_tables")
    for name, tables in written.PAGES.items():
        text = (ROOT / name).read_text("utf-8")
        assert written.page(text, tables) == text, "run python scripts/build_speed_tables.py"
        assert all(text.count(f"<!-- {table} -->\n| ") == 1 for table in tables)
