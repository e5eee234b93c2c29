"""Environment variables are read in one place and listed on one page."""

import ast
from pathlib import Path

import pytest

import polyclip
from polyclip.core.environment import VARIABLES, read_variable

HERE = Path(polyclip.__file__).parent
PAGE = HERE.parent / "docs" / "reference" / "environment.md"
# They set variables for processes and libraries that they start, and the terminal's size for rich.
WRITERS = {
    "core/terminal.py",
    "studies/runner.py",
    "cli/_launch.py",
    "exporters/verify.py",
    "exporters/targets/onnx.py",
    "search/server/server.py",
}


def test_the_environment_is_read_in_one_place() -> None:
    found = set()
    for path in HERE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv"):
                found.add(path.relative_to(HERE).as_posix())
    assert found == {"core/environment.py"} | WRITERS


def test_the_page_lists_every_variable() -> None:
    page = PAGE.read_text("utf-8")
    assert [name for name in VARIABLES if f"`{name}`" not in page] == []


def test_variables_that_nobody_listed_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYCLIP_CACHE", "here")
    assert read_variable("POLYCLIP_CACHE") == "here"
    with pytest.raises(KeyError, match="VARIABLES"):
        read_variable("HOME")
