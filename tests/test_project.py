"""The project itself: lint, types, the wheel's contents, and what the README promises."""

import ast
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")


def tool(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True)


@pytest.mark.parametrize("command", [("ruff", "check", "."), ("ruff", "format", "--check", "."), ("mypy",)])
def test_lint_and_types(command: tuple[str, ...]) -> None:
    done = tool(*command)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_wheel_carries_packs_and_corpora(tmp_path: Path) -> None:
    done = tool("build", "--wheel", "--no-isolation", "--outdir", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    for folder in ("languages", "corpora"):
        own = {
            path.relative_to(ROOT).as_posix()
            for path in (ROOT / folder).rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }
        assert own and {f"polyclip/packs_data/{name}" for name in own} <= names
    code = {path.relative_to(ROOT).as_posix() for path in (ROOT / "polyclip").rglob("*.py")}
    assert code <= names
    assert not {
        name
        for name in names
        if name.startswith(("tests/", "scripts/")) or name.endswith((".pth", ".pt", ".pkl", ".bin"))
    }
    assert wheel.stat().st_size < 30_000_000


def test_every_dependency_says_why() -> None:
    lines = (ROOT / "pyproject.toml").read_text("utf-8").splitlines()
    wanted = [line for line in lines if re.match(r'\s+"[a-z0-9-]+(\[|>=|==)', line)]
    assert len(wanted) > 20
    assert [line for line in wanted if " # " not in line] == []


def test_every_import_is_a_declared_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = [
        text
        for name in ("starter", "study", "translation", "energy", "serve", "export", "track", "dataframe", "tables")
        for text in project["optional-dependencies"][name]
    ]
    declared = {re.split(r"[\[<>=]", text)[0].replace("-", "_") for text in project["dependencies"] + extras}
    trees = [ast.parse(path.read_text("utf-8")) for path in (ROOT / "polyclip").rglob("*.py")]
    plain = {
        alias.name for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
    }
    named = {
        node.module for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module
    }
    ours = {name.split(".")[0] for name in plain | named} - set(sys.stdlib_module_names) - {"polyclip"}
    assert len(ours) > 10
    other = {"PIL": "pillow", "open_clip": "open_clip_torch"}  # where a package is imported by another name
    assert {other.get(name, name) for name in ours} <= declared


def test_the_readme_shows_its_two_commands_and_every_link_leads_somewhere() -> None:
    assert "polyclip align --lang sw" in README and "<!-- tests -->" in README
    for link in re.findall(r"\]\((?!https?://|#)([^)]+)\)|src=\"(?!https?://)([^\"]+)\"", README):
        assert (ROOT / (link[0] or link[1])).exists(), link
