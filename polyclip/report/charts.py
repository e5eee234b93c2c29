"""Charts as SVG inside HTML, without a plotting library; text stays text, in any script."""

import html
from collections.abc import Sequence
from typing import Any

from polyclip.evaluation.results import Score

WIDTH, HEIGHT = 360, 200  # units of the drawing; a phone shows them one to one
LEFT, RIGHT, TOP, BOTTOM = 40, 10, 10, 26
BAR = 160  # width of a bar of recall


def draw_curve(log: Sequence[dict[str, Any]], key: str, title: str, *, share: bool) -> str:
    """Draw a line of one value over the epochs of all phases.

    Args:
        log: Lines of log.jsonl.
        key: The value to draw.
        title: Title of the chart.
        share: Whether the value is a fraction, to be shown in percent.

    Returns:
        An HTML figure; empty where fewer than two lines have the value.

    """
    points = [
        (number, line[key] * (100 if share else 1), line["phase"])
        for number, line in enumerate(log)
        if isinstance(line.get(key), int | float)
    ]
    if len(points) < 2:
        return ""
    most = max(value for _, value, _ in points) or 1.0
    across, up = (WIDTH - LEFT - RIGHT) / max(1, len(log) - 1), (HEIGHT - TOP - BOTTOM) / most
    placed = [(LEFT + number * across, HEIGHT - BOTTOM - value * up, value, phase) for number, value, phase in points]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y, _, _ in placed)
    dots = "".join(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5"><title>{html.escape(phase)}: {value:.2f}</title></circle>'
        for x, y, value, phase in placed
    )
    ticks = "".join(draw_tick(most * part, HEIGHT - BOTTOM - most * part * up) for part in (0, 0.5, 1))
    first, last = points[0][1], points[-1][1]
    return (
        f'<figure><figcaption>{html.escape(title)}</figcaption><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{html.escape(title)}: from {first:.2f} to {last:.2f} over {len(log)} lines of the '
        f'log">{ticks}{draw_phase_borders(log, across)}'
        f'<polyline points="{path}"/><g class="dots">{dots}</g><text x="{(WIDTH + LEFT) / 2}" y="{HEIGHT - 2}" '
        'text-anchor="middle">epoch</text></svg></figure>'
    )


def draw_tick(value: float, y: float) -> str:
    """Draw a horizontal line with its value."""
    return (
        f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/><text x="{LEFT - 4}" y="{y + 4:.1f}" '
        f'text-anchor="end">{value:.3g}</text>'
    )


def draw_phase_borders(log: Sequence[dict[str, Any]], across: float) -> str:
    """Draw each phase's name where it begins, and a vertical line between two phases."""
    starts = [
        (number, line["phase"])
        for number, line in enumerate(log)
        if number == 0 or line["phase"] != log[number - 1]["phase"]
    ]
    lines = "".join(
        f'<line x1="{LEFT + n * across:.1f}" x2="{LEFT + n * across:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'
        for n, _ in starts[1:]
    )
    return lines + "".join(
        f'<text x="{LEFT + n * across:.1f}" y="{HEIGHT - 12}">{html.escape(phase)}</text>' for n, phase in starts
    )


def draw_bar(score: Score) -> str:
    """Draw a recall from 0 to 100 %: the value as a dot, its 95 % interval as a line, chance as a mark."""
    low, value, high, chance = (BAR * share for share in (score.low, score.value, score.high, score.chance))
    return (
        f'<svg class="bar" viewBox="0 0 {BAR} 14" aria-hidden="true"><line x1="0" x2="{BAR}" y1="7" y2="7"/>'
        f'<line class="chance" x1="{chance:.1f}" x2="{chance:.1f}" y1="1" y2="13"/>'
        f'<line class="span" x1="{low:.1f}" x2="{high:.1f}" y1="7" y2="7"/><circle cx="{value:.1f}" cy="7" '
        'r="3.5"/></svg>'
    )
