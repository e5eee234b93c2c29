"""Images in terminals: which protocol a terminal is known by, and what is written for each."""

import base64
import os
import re

import pytest

from polyclip.core.inline_images import CHUNK, find_protocol, format_image

ASKED = ("TERM", "TERM_PROGRAM", "LC_TERMINAL", "KITTY_WINDOW_ID", "TMUX", "STY")


@pytest.mark.parametrize(
    ("variables", "found"),
    [
        ({"TERM": "xterm-kitty"}, "kitty"),
        ({"TERM": "xterm-256color", "KITTY_WINDOW_ID": "1"}, "kitty"),
        ({"TERM": "xterm-ghostty", "TERM_PROGRAM": "ghostty"}, "kitty"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "iTerm.app"}, "iterm2"),
        ({"TERM": "xterm-256color", "LC_TERMINAL": "iTerm2"}, "iterm2"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "WezTerm"}, "iterm2"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "Apple_Terminal"}, None),
        ({"TERM": "xterm-256color"}, None),
        ({}, None),
        ({"TERM": "dumb", "KITTY_WINDOW_ID": "1"}, None),
        ({"TERM": "screen-256color", "KITTY_WINDOW_ID": "1"}, None),
        ({"TERM": "xterm-256color", "TMUX": "/run/tmux", "TERM_PROGRAM": "iTerm.app"}, None),
        ({"TERM": "xterm-kitty", "STY": "1.pts"}, None),
    ],
)
def test_a_terminal_is_known_by_its_environment(
    variables: dict[str, str], found: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ASKED:
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert find_protocol() == found


def test_kitty_is_sent_the_whole_image_in_chunks() -> None:
    png = os.urandom(2 * CHUNK)
    text = format_image(png, "kitty", 28, 7)
    parts = re.findall(r"\x1b_G([^;]*);([^\x1b]*)\x1b\\", text)
    assert text == "".join(f"\x1b_G{keys};{data}\x1b\\" for keys, data in parts) + "\n"
    assert [keys for keys, _ in parts] == ["a=T,f=100,q=2,c=28,r=7,m=1", "m=1", "m=0"]
    assert base64.b64decode("".join(data for _, data in parts)) == png and max(len(data) for _, data in parts) == CHUNK
    assert format_image(b"x", "kitty", 1, 1) == "\x1b_Ga=T,f=100,q=2,c=1,r=1,m=0;eA==\x1b\\\n"


def test_iterm2_is_sent_one_sequence() -> None:
    found = format_image(b"png", "iterm2", 28, 7)
    assert found == "\x1b]1337;File=inline=1;size=3;width=28;preserveAspectRatio=1:cG5n\x07\n"
