"""Progress: one line that is written over in a notebook, and nothing for those who did not ask."""

import pytest

from polyclip.core import progress
from polyclip.core.progress import Progress, show_messages


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> pytest.CaptureFixture[str]:
    """Standard error of a notebook, redrawn at every step."""
    monkeypatch.setattr(progress.terminal, "is_jupyter", True)
    monkeypatch.setattr(progress, "REDRAWN", -1.0)
    return capsys


def test_a_notebook_has_one_line_however_many_steps(notebook: pytest.CaptureFixture[str]) -> None:
    with show_messages(), Progress("encoding", 1000) as bar:
        for _ in range(100):
            bar.advance(10)
        bar.note = "a long note that is gone"
        bar.advance(0)
        bar.note = ""
    text = notebook.readouterr().err
    assert text.count("\n") == 1 and text.endswith("\n") and text.count("\r") == 102
    states = text.rstrip("\n").split("\r")
    assert states[1].startswith("encoding: 10/1,000, ") and states[-1].startswith("encoding: 1,000/1,000, ")
    assert len(states[-1]) >= len(states[-2].rstrip())  # nothing of the longer line is left


def test_an_error_in_a_notebook_starts_on_a_line_of_its_own(notebook: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError), show_messages(), Progress("encoding", 10) as bar:
        bar.advance(1)
        raise ValueError
    assert notebook.readouterr().err.endswith("\n")


def test_nothing_is_written_unasked(notebook: pytest.CaptureFixture[str]) -> None:
    with Progress("encoding", 10) as bar:
        bar.advance(10)
    assert notebook.readouterr().err == ""
