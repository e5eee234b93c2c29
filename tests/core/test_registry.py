"""Plug-ins of other packages are found as soon as they are installed, in a process that asked before too."""

import sys
from pathlib import Path

import pytest

from polyclip.core.registry import find, list_names
from polyclip.errors import UnknownName


def write_package(folder: Path, name: str) -> None:
    """A package that offers a reader."""
    facts = folder / f"polyclip_{name}-1.0.dist-info"
    facts.mkdir(parents=True)
    (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: polyclip-{name}\nVersion: 1.0\n", "utf-8")
    (facts / "entry_points.txt").write_text(f"[polyclip.readers]\n{name} = polyclip_{name}\n", "utf-8")
    (folder / f"polyclip_{name}.py").write_text(f"NAME = {name!r}\n", "utf-8")


def test_a_package_that_comes_later_is_found_and_gone_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = list_names("readers")
    write_package(tmp_path, "postcards")
    with monkeypatch.context() as patched:
        patched.syspath_prepend(tmp_path)
        assert list_names("readers") == sorted([*before, "postcards"])
        assert find("readers", "postcards").NAME == "postcards"
        assert "postcards" not in list_names("methods")
    sys.modules.pop("polyclip_postcards", None)
    assert list_names("readers") == before
    with pytest.raises(UnknownName, match="postcards"):
        find("readers", "postcards")


def test_a_package_that_is_installed_meanwhile_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    assert "stamps" not in list_names("readers")
    write_package(tmp_path, "stamps")
    assert "stamps" in list_names("readers")
    with pytest.raises(UnknownName, match="postcards"):
        find("readers", "postcards")


def test_a_folder_that_is_not_there_or_cannot_be_read_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = list_names("readers")
    (tmp_path / "file").write_text("", "utf-8")
    for place in (tmp_path / "none", tmp_path / "file" / "below", ""):
        monkeypatch.setattr(sys, "path", [*sys.path, str(place)])
    monkeypatch.chdir(tmp_path)
    assert list_names("readers") == before
