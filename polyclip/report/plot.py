"""Plots in polyclip's own look: one style sheet, no window, and a file that is whole or not there."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from polyclip.core.storage import write_atomically

STYLE = Path(__file__).with_name("polyclip.mplstyle")
GREEN, ORANGE = "#0f766e", "#e69f00"  # the first two colours of the style sheet
GREY = "#5b6664"  # lines that are no data: zero, a goal

HATCHES = ("", "///", "...", "\\\\\\", "", "xxx", "---")  # of bars, one beside each colour


@contextmanager
def open_plot(path: Path, width: float, height: float, *, what: str) -> Iterator[Any]:
    """Open an empty figure in polyclip's look, and write it as a PNG once it is drawn.

    The user's own matplotlib settings have no effect and stay as they are.

    Args:
        path: Where to write.
        width: Inches.
        height: Inches.
        what: What is written, for error messages.

    Yields:
        A matplotlib figure.

    Raises:
        ImportError: matplotlib is not installed.
        PolyclipError: The file cannot be written.

    """
    from matplotlib import style
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with style.context(STYLE, after_reset=True):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        yield figure
        with write_atomically(path, what=what) as temporary:
            figure.savefig(temporary, format="png")


def list_line_styles() -> list[dict[str, Any]]:
    """List the style sheet's lines in order, each with its color, marker and line style; for use in an open plot."""
    from matplotlib import rcParams

    return list(rcParams["axes.prop_cycle"])


def add_legend(axes: Any, title: str = "") -> None:
    """Add the legend beside the axes, where it covers no data.

    Args:
        axes: Drawn, with labels.
        title: Heading of the legend; none where empty.

    """
    handles, labels = axes.get_legend_handles_labels()
    axes.figure.legend(handles, labels, title=title or None, loc="outside right upper", alignment="left")
