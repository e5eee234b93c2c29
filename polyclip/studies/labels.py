"""Labels beside the points of a plot, without overlaps."""

from collections.abc import Sequence
from typing import Any, Literal

SIZE = 7  # of the font, in points
HIGH = 8.5  # from one line to the next, points
WIDE = 4.4  # of a letter at most on average, points
GAP = 4  # between a point and its name, points


def annotate_points(
    axes: Any, points: Sequence[tuple[float, float, str]], side: Literal["left", "right"] = "right"
) -> None:
    """Write each label beside its point (x, y, label), shifted up where labels overlap; call once axes are scaled and
    drawn.
    """
    axes.autoscale_view()
    taken: list[tuple[float, float, float]] = []  # first and last place of a name, and its line
    for x, y, name in sorted(points, key=lambda point: point[1]):
        across, up = axes.transData.transform((x, y)) * 72 / axes.figure.dpi
        length = WIDE * len(name)
        first = across + GAP if side == "right" else across - GAP - length
        line = up
        while any(first < end and start < first + length and abs(line - other) < HIGH for start, end, other in taken):
            line += 1
        taken.append((first, first + length, line))
        shift = GAP if side == "right" else -GAP
        axes.annotate(
            name,
            (x, y),
            xytext=(shift, line - up),
            textcoords="offset points",
            fontsize=SIZE,
            ha="left" if side == "right" else "right",
        )
