"""Drawings: the same pixels whoever draws them, once, and whatever happens to the process that draws ahead."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from polyclip.core.toml import CORPORA
from polyclip.data import corpus_drawings, drawings
from polyclip.data.corpus import load_corpus
from polyclip.data.drawings import FEW, Drawing, draw_ahead, forget_drawings
from polyclip.data.image_hash import hash_images, list_unhashed
from polyclip.data.readers import emoji
from polyclip.data.svg import draw_svg, render_svg
from polyclip.data.types import ImageSource

SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><circle cx="4" cy="4" r="{}"/></svg>'
DOG = emoji.pictures(CORPORA / "emoji", "openmoji")["1F436"]


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Three cores, and nothing drawn before."""
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    forget_drawings()
    yield
    for ahead in drawings._ahead.values():
        ahead.result(60)


def make_images(count: int) -> list[ImageSource]:
    return [ImageSource(str(n), f"drawing {n}", Drawing(SVG.format(1 + n / 100), 16)) for n in range(count)]


def record_own_drawings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What this process draws itself from now on."""
    drawn: list[str] = []
    monkeypatch.setattr(drawings, "draw_svg", lambda svg, pixels: (drawn.append(svg), draw_svg(svg, pixels))[1])
    return drawn


def test_a_drawing_is_drawn_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """To be hashed and to be encoded; what is kept is not an image, which whoever opens it may change."""
    drawn = record_own_drawings(monkeypatch)
    first, second = DOG.open(), DOG.open()
    assert len(drawn) == 1
    assert first is not second and first.tobytes() == second.tobytes()
    assert first.tobytes() == render_svg(DOG.open.svg, 256).tobytes()  # type: ignore[attr-defined]


def test_other_processes_draw_the_same_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = record_own_drawings(monkeypatch)
    images = [*make_images(FEW), DOG]
    draw_ahead(images)
    draw_ahead(images)  # under way already
    for image in images:
        svg, pixels = image.open.svg, image.open.pixels  # type: ignore[attr-defined]
        assert image.open().tobytes() == render_svg(svg, pixels).tobytes()
    assert drawn == []


def test_a_drawing_that_fails_elsewhere_says_why_here() -> None:
    images = [ImageSource("bad", "bad", Drawing("<svg", 16)), *make_images(FEW)]
    draw_ahead(images)
    with pytest.raises(ValueError, match="not XML"):
        images[0].open()
    assert all(image.open().size == (16, 16) for image in images[1:])


@pytest.mark.parametrize(
    "program",
    ["import sys; sys.exit(3)", "print('no base64')", "print()", "raise MemoryError"],
)
def test_what_a_lost_process_leaves_is_drawn_here(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    monkeypatch.setattr(drawings, "PROGRAM", program)
    images = make_images(FEW)
    draw_ahead(images)
    last = images[-2:]  # of both processes
    assert [image.open().tobytes() for image in last] == [
        render_svg(image.open.svg, 16).tobytes()  # type: ignore[attr-defined]
        for image in last
    ]


def test_a_process_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawings, "PATIENCE", 0.1)
    monkeypatch.setattr(drawings, "PROGRAM", "import time; time.sleep(3)")
    images = make_images(FEW)
    draw_ahead(images)
    assert images[0].open().size == (16, 16)


@pytest.mark.parametrize(("count", "cores", "python"), [(FEW - 1, 2, "python"), (FEW, 1, "python"), (FEW, 2, "")])
def test_no_process_where_none_would_help(monkeypatch: pytest.MonkeyPatch, count: int, cores: int, python: str) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    monkeypatch.setattr(sys, "executable", python)
    draw_ahead(make_images(count))
    assert drawings._ahead == {}


def test_only_what_was_not_hashed_is_drawn_ahead_and_test_images_first(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[ImageSource] = []
    monkeypatch.setattr(corpus_drawings, "draw_ahead", asked.extend)
    tested = list(emoji.split_concepts(CORPORA / "emoji", "test"))
    found = emoji.drawings(CORPORA / "emoji")
    monkeypatch.setattr(corpus_drawings, "list_unhashed", lambda images: images[1:])
    corpus_drawings.draw_unhashed(load_corpus("emoji"))
    assert len(asked) == len(found) - 1
    assert {image.key for image in asked[: len(tested) - 1]} < {found[concept].key for concept in tested}


def test_what_was_hashed_is_known() -> None:
    images = make_images(3)
    hash_images(images[:1], "the first")
    assert list_unhashed(images) == images[1:]


def test_a_file_in_the_current_folder_is_not_imported_by_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("resvg_py", "json", "polyclip"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('not this one')", "utf-8")
    done = subprocess.run(
        [sys.executable, "-P", "-c", drawings.PROGRAM, *(path for path in sys.path if path)],
        input=b'["' + SVG.format(2).replace('"', '\\"').encode() + b'", 16]\n',
        capture_output=True,
        check=True,
    )
    assert len(done.stdout) > 20 and done.stderr == b""
