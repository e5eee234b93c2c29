"""Thumbnails of hits in terminals: where each image stands, and that nothing is written into a pipe."""

import io
import os
import pty
import sys
from pathlib import Path

import pytest
from PIL import Image

from polyclip.cli.search import choose_protocol, print_thumbnails
from polyclip.errors import DataError
from polyclip.search.results import Hit, SearchResult
from polyclip.search.thumbnail_sheet import EDGE, EMPTY, draw_thumbnails

COLOURS = ("red", "lime", "blue")


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    for colour in COLOURS:
        Image.new("RGB", (900, 300), colour).save(tmp_path / f"{colour}.png")
    (tmp_path / "broken.png").write_text("x")
    return [*(tmp_path / f"{colour}.png" for colour in COLOURS), tmp_path / "broken.png", tmp_path / "gone.png"]


def test_each_image_has_its_place_and_what_cannot_be_read_is_an_empty_one(paths: list[Path]) -> None:
    sheet = Image.open(io.BytesIO(draw_thumbnails(paths, 3)))
    assert (sheet.format, sheet.size) == ("PNG", (3 * EDGE, 2 * EDGE))
    middles = [sheet.getpixel((EDGE // 2 + place % 3 * EDGE, EDGE // 2 + place // 3 * EDGE)) for place in range(6)]
    grey = Image.new("RGB", (1, 1), EMPTY).getpixel((0, 0))
    assert middles == [(255, 0, 0), (0, 255, 0), (0, 0, 255), grey, grey, (255, 255, 255)]
    assert sheet.getpixel((EDGE // 2, EDGE // 6)) == (255, 255, 255)  # three times as wide as it is high, still
    assert any(sheet.getpixel((x, y)) == (0, 0, 0) for x in range(30) for y in range(30))  # its number
    assert Image.open(io.BytesIO(draw_thumbnails(paths[:2], 6))).size == (2 * EDGE, EDGE)


def test_a_pipe_gets_nothing_and_a_demand_is_refused_with_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-kitty")
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert choose_protocol("auto", json=False) is None is choose_protocol("off", json=False)
    with pytest.raises(DataError, match="--thumbnails on: this is not a terminal. .*kitty"):
        choose_protocol("on", json=False)
    with pytest.raises(DataError, match="cannot be combined with --json"):
        choose_protocol("on", json=True)


def test_a_terminal_gets_them_or_a_reason(
    paths: list[Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    main, other = pty.openpty()
    for name in ("TMUX", "STY", "KITTY_WINDOW_ID", "TERM_PROGRAM", "LC_TERMINAL"):
        monkeypatch.delenv(name, raising=False)
    with os.fdopen(other, "w") as stream, monkeypatch.context() as here:
        here.setattr(sys, "stdout", stream)
        here.setenv("TERM", "xterm-kitty")
        assert choose_protocol("auto", json=False) == "kitty" == choose_protocol("on", json=False)
        assert choose_protocol("off", json=False) is None is choose_protocol("auto", json=True)
        here.setenv("TERM", "xterm-256color")
        assert choose_protocol("auto", json=False) is None
        with pytest.raises(DataError, match="this terminal is not known to show images"):
            choose_protocol("on", json=False)
    os.close(main)
    monkeypatch.setenv("COLUMNS", "70")
    found = SearchResult("red", [Hit(path, 0.5) for path in [*paths, *paths]], 10, [], paths[0].parent)
    print_thumbnails(found, "kitty")
    assert capsys.readouterr().out.startswith("\x1b_Ga=T,f=100,q=2,c=70,r=14,m=")  # two rows of five
