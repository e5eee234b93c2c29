"""The look of plots: one style sheet, told apart by every reader, legends beside the data, the user's settings kept."""

import itertools
import re
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("matplotlib")

import matplotlib
from matplotlib import style

import polyclip
from polyclip.report.plot import GREEN, HATCHES, ORANGE, STYLE, add_legend, open_plot
from tests.script import load_script

PACKAGE = Path(polyclip.__file__).parent
ROOT = PACKAGE.parent
DOCS = ROOT / "docs" / "explanation"
SEEN = {  # Machado, Oliveira and Fernandes 2009, severity 1: what a reader without one kind of cones sees, linear RGB
    "everybody": np.eye(3),
    "protanope": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranope": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "tritanope": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}


def to_lab(colour: str, reader: str) -> np.ndarray:
    """CIELAB of a colour #rrggbb as a reader sees it."""
    rgb = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.array(SEEN[reader]) @ linear, 0, 1)
    matrix = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.072175], [0.0193339, 0.119192, 0.9503041]]
    xyz = np.array(matrix) @ seen / [0.95047, 1, 1.08883]
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def cycle() -> list[dict[str, str]]:
    with style.context(STYLE, after_reset=True):
        return list(matplotlib.rcParams["axes.prop_cycle"])


@pytest.mark.parametrize("reader", SEEN)
def test_no_two_colours_look_the_same(reader: str) -> None:
    colours = dict.fromkeys(one["color"] for one in cycle())
    assert len(colours) == 7
    seen = {colour: to_lab(colour, reader) for colour in [*colours, "#ffffff"]}
    for one, other in itertools.combinations(seen, 2):
        assert np.linalg.norm(seen[one] - seen[other]) > 15, (one, other)


def test_the_measure_of_colours_finds_those_that_look_the_same() -> None:
    """Okabe and Ito's blue beside our green, which is why it is left out."""
    assert np.linalg.norm(to_lab("#0f766e", "tritanope") - to_lab("#0072b2", "tritanope")) < 10
    assert to_lab("#ffffff", "everybody") == pytest.approx([100, 0, 0], abs=0.1)


def test_lines_differ_without_colour_too_and_the_first_is_the_pages_green() -> None:
    looks = [(one["marker"], one["linestyle"]) for one in cycle()]
    assert len(set(looks)) == len(looks) == 14 and len(set(HATCHES)) >= 6
    page = (PACKAGE / "search" / "server" / "static" / "page.css").read_text("utf-8")
    assert f"--deep: {GREEN};" in page and [one["color"] for one in cycle()[:2]] == [GREEN, ORANGE]


def test_matplotlib_is_used_through_one_file_only() -> None:
    files = [path for folder in ("polyclip", "speed", "scripts") for path in (ROOT / folder).rglob("*.py")]
    users = [path.name for path in files if re.search(r"(import|from) matplotlib", path.read_text("utf-8"))]
    assert users == ["plot.py"]


def test_the_legend_covers_no_data_and_the_users_settings_stay(tmp_path: Path) -> None:
    before = dict(matplotlib.rcParams)
    with open_plot(tmp_path / "a.png", 6.0, 3.0, what="a plot") as figure:
        axes = figure.subplots()
        for number in range(3):
            axes.plot([0, 1], [number, number], label=f"line {number}")
        add_legend(axes, "a title")
        figure.canvas.draw()
        (legend,) = figure.legends
        assert not legend.get_window_extent().overlaps(axes.get_window_extent())
        assert len({line.get_marker() for line in axes.lines}) == 3
    assert dict(matplotlib.rcParams) == before
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_a_plot_that_fails_leaves_no_file(tmp_path: Path) -> None:
    before = dict(matplotlib.rcParams)
    with pytest.raises(ZeroDivisionError), open_plot(tmp_path / "a.png", 6.0, 3.0, what="a plot"):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == [] and dict(matplotlib.rcParams) == before


def test_the_pages_plots_are_drawn_again_from_the_figures_beside_them(tmp_path: Path) -> None:
    for folder in ("studies", "speed"):
        (tmp_path / folder).mkdir()
    load_script("redraw_plots").main(tmp_path)
    drawn = {path.relative_to(tmp_path) for path in tmp_path.rglob("*.png")}
    assert drawn == {path.relative_to(DOCS) for path in DOCS.rglob("*.png")} - {Path("studies/budget.png")}
    assert all((tmp_path / path).stat().st_size > 10_000 for path in drawn)


def test_a_cell_that_is_no_estimate_is_refused() -> None:
    script = load_script("redraw_plots")
    assert script.parse_estimate("36.2 [32, 40]").low == pytest.approx(0.32)
    assert script.parse_estimate("-0.9 [-3, +1]", 1).high == 1
    with pytest.raises(ValueError, match="36.2' is not a value with its interval"):
        script.parse_estimate("36.2")


def test_the_documents_have_the_pages_logo() -> None:
    logo = (PACKAGE / "search" / "server" / "static" / "icon.svg").read_bytes()
    assert (ROOT / "docs" / "logo.svg").read_bytes() == logo and len(logo) < 1000
    assert "docs/logo.svg" in (ROOT / "README.md").read_text("utf-8")
