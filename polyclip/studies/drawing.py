"""Drawings of studies from plain estimates: of records that were just made, or of figures that were kept."""

import math
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

from polyclip.languages.schema import list_languages, load_language
from polyclip.report.plot import GREEN, GREY, HATCHES, ORANGE, add_legend, list_line_styles
from polyclip.studies.energy import WATTS
from polyclip.studies.figures import Estimate
from polyclip.studies.labels import annotate_points

RECALL = "text to image recall@10, %"
FRESH = "fresh heads"
CAPTION_SECONDS = 30  # assumed time to write one image's name and keywords
NOBODY = 0.1  # %, where a logarithmic axis shows that nothing is trained


def in_percent(found: Sequence[Estimate], factor: float = 100.0) -> tuple[list[float], list[list[float]]]:
    """Values and their distances to both ends of the intervals, as `errorbar` takes them."""
    return [factor * one.value for one in found], [
        [factor * (one.value - one.low) for one in found],
        [factor * (one.high - one.value) for one in found],
    ]


def draw_lines(axes: Any, conditions: Sequence[str], lines: Mapping[str, Mapping[str, Estimate]], xlabel: str) -> None:
    """Draw one line per method over conditions.

    Args:
        axes: Empty matplotlib axes.
        conditions: In order.
        lines: Recall in [0, 1] by method and condition.
        xlabel: What the conditions are.

    """
    for number, (method, found) in enumerate(lines.items()):
        values, error = in_percent(list(found.values()))
        places = [conditions.index(condition) + 0.04 * number for condition in found]
        axes.errorbar(places, values, yerr=error, elinewidth=0.9, label=method)
    axes.set_xticks(range(len(conditions)), conditions)
    axes.set(xlabel=xlabel, ylabel=RECALL)
    add_legend(axes)


def draw_against_share(axes: Any, points: Sequence[tuple[str, float, Estimate, Estimate]]) -> None:
    """Draw recall over the share of trained parameters.

    Args:
        axes: Empty matplotlib axes.
        points: Method, trained share in percent, recall of trained and of unseen languages.

    """
    shares = [max(share, NOBODY) for _, share, _, _ in points]
    for place, marker, colour, label in ((2, "o", GREEN, "trained languages"), (3, "s", ORANGE, "unseen languages")):
        values, error = in_percent([point[place] for point in points])  # type: ignore[misc]
        axes.errorbar(shares, values, yerr=error, fmt=marker, color=colour, elinewidth=0.9, label=label)
    for limit in (1, 7):
        axes.axvline(limit, color=GREY, linewidth=0.9, linestyle=":")
    axes.set(
        xscale="log",
        xlim=(NOBODY / 1.5, 400),  # room for the last name
        xlabel=f"trained parameters, % without the embedding matrix (0 drawn at {NOBODY:g})",
        ylabel=RECALL,
    )
    annotate_points(
        axes, [(share, 100 * point[2].value, point[0]) for share, point in zip(shares, points, strict=True)]
    )
    add_legend(axes)


def draw_change(axes: Any, points: Sequence[tuple[str, float, float]]) -> None:
    """Draw the change in the text encoder over the agreement of the vision encoder.

    Args:
        axes: Empty matplotlib axes.
        points: Method, images that keep their class in percent, change of recall in points.

    """
    axes.scatter([x for _, x, _ in points], [y for _, _, y in points], color=GREEN, marker="o")
    annotate_points(axes, [(x, y, method) for method, x, y in points], "left")
    axes.set(
        xlabel="images that keep their ImageNet class, %",
        ylabel="text encoder, unseen languages:\nchange of recall@1, points",
    )


def draw_traces(axes: Any, curves: Sequence[Mapping[str, Any]]) -> None:
    """Draw validation over processor seconds and joules, seed 0: a panel for each start, a method alike in all.

    Args:
        axes: Empty matplotlib axes; replaced by the panels where there are several starts.
        curves: As `polyclip.studies.traces.collect_traces` returns them.

    """
    first = [curve for curve in curves if curve["seed"] == 0]
    looks = dict(zip(dict.fromkeys(curve["method"] for curve in first), cycle(list_line_styles()), strict=False))
    starts = list(dict.fromkeys(curve["start"] for curve in first))
    panels = split_axes(axes, starts)
    for panel, start in zip(panels, starts, strict=True):
        for curve in first:
            if curve["start"] == start:
                draw_trace(panel, curve["points"], looks[curve["method"]])
        label_cost(panel)
    panels[0].set_ylabel("validation recall@1/5/10, %")
    for method, look in looks.items():
        panels[-1].plot([], [], label=method, **look)
    add_legend(panels[-1])


def split_axes(axes: Any, titles: Sequence[str]) -> list[Any]:
    """Replace axes by panels side by side, with the same axes and a title each; one alone stays as it is.

    Args:
        axes: Empty matplotlib axes; their title becomes the figure's.
        titles: Of the panels.

    """
    if len(titles) < 2:
        return [axes]
    figure, title = axes.figure, axes.get_title(loc="left")
    axes.remove()
    figure.set_size_inches(11.5, 4.8)
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold", fontsize=11.5)
    panels = list(figure.subplots(1, len(titles), sharex=True, sharey=True))
    for panel, each in zip(panels, titles, strict=True):
        panel.set_title(each, fontsize=9.5)
    return panels


def draw_trace(axes: Any, points: Sequence[Mapping[str, Any]], look: Mapping[str, Any]) -> None:
    """Draw the validations of one cell over processor seconds; what took less than one is drawn at one."""
    seconds = [max(point["processor_seconds"], 1.0) for point in points]
    axes.plot(seconds, [100 * point["validation"] for point in points], **look)


def label_cost(axes: Any) -> None:
    """Make the x axis one of processor seconds, with joules above."""
    axes.set(xscale="log", xlabel="processor seconds of training")
    above = axes.secondary_xaxis("top", functions=(lambda seconds: WATTS * seconds, lambda joules: joules / WATTS))
    above.set_xlabel(f"joules, at an assumed {WATTS:g} W", fontsize="small")


def label_start(method: str, start: str) -> str:
    """Name a method and where it starts; fresh heads go without saying."""
    return method if start == FRESH else f"{method}, {start}"


def draw_ratios(axes: Any, found: Sequence[tuple[str, Estimate]], goal: float) -> None:
    """Draw recall as a share of English.

    Args:
        axes: Empty matplotlib axes.
        found: Language code and ratio, best first.
        goal: The ratio that is aimed at.

    """
    axes.axhline(1, color=GREY, linewidth=0.9)
    axes.axhline(goal, color=GREY, linewidth=0.9, linestyle=":", label=f"goal, {goal:g}")
    values, error = in_percent([one for _, one in found], 1.0)
    axes.errorbar(range(len(found)), values, yerr=error, fmt="o", color=GREEN, elinewidth=0.9, label="language")
    axes.set_xticks(range(len(found)), [code for code, _ in found], rotation=90)
    axes.grid(axis="x", visible=False)
    axes.set(ylabel="recall@10 as a share of English")
    add_legend(axes)


def draw_bars(axes: Any, found: Mapping[str, Mapping[str, Estimate]], conditions: Sequence[str]) -> None:
    """Draw bars of each condition, grouped by language.

    Args:
        axes: Empty matplotlib axes.
        found: Recall in [0, 1] by language and condition.
        conditions: In order.

    """
    width = 0.84 / len(conditions)
    for number, name in enumerate(conditions):
        there = [(place, one[name]) for place, one in enumerate(found.values()) if name in one]
        values, error = in_percent([one for _, one in there])
        axes.bar(
            [place + (number - (len(conditions) - 1) / 2) * width for place, _ in there],
            values,
            width,
            yerr=error,
            label=name,
            hatch=HATCHES[number % len(HATCHES)],
            edgecolor="white",
            linewidth=0.5,
            error_kw={"linewidth": 0.8, "capsize": 1.5, "ecolor": GREY},
        )
    axes.set_xticks(range(len(found)), list(found))
    axes.grid(axis="x", visible=False)
    axes.set(ylabel=RECALL)
    add_legend(axes)


def draw_shots(
    axes: Any,
    curves: Mapping[str, Mapping[str, Mapping[str, Estimate]]],
    names: Sequence[str],
    levels: Sequence[tuple[str, Estimate, Estimate]],
) -> None:
    """Draw one line per language and kind over shots on a logarithmic scale, with zero-shot and full-data levels.

    Args:
        axes: Empty matplotlib axes.
        curves: Recall in [0, 1] by language, kind of captions and number of shots.
        names: Numbers of shots, in order, as texts.
        levels: For each language what full data are called, their recall, and recall without any.

    """
    for number, (code, kinds) in enumerate(curves.items()):
        for place, (kind, found) in enumerate(kinds.items()):
            drawn = {name: found[name] for name in names if name in found}
            values, error = in_percent(list(drawn.values()))
            places = [axis_position(name) + 0.08 * (len(kinds) * number + place) for name in drawn]
            axes.errorbar(places, values, yerr=error, elinewidth=0.9, label=f"{code}, {kind} captions")
        whole, every, none = levels[number]
        colour = f"C{number * len(kinds)}"
        for label, level, line in ((whole, every, "-."), (f"{code}, no captions", none, ":")):
            axes.axhline(100 * level.value, linestyle=line, linewidth=1.1, color=colour, label=label)
            axes.axhspan(100 * level.low, 100 * level.high, alpha=0.07, color=colour, linewidth=0)
    axes.set_xticks([axis_position(name) for name in names], names)
    axes.set(xlabel="named images of the language", ylabel=RECALL)
    add_legend(axes)


def axis_position(name: str) -> float:
    """Return the position on the axis: log2 of the number of shots plus one."""
    return math.log2(int(name) + 1)


def draw_effort(axes: Any, curves: Mapping[str, Mapping[str, Mapping[str, Estimate]]]) -> None:
    """Draw recall over the number of captions, one line for each kind of help: a large panel, and a small one for each
    language.

    Args:
        axes: Empty matplotlib axes; replaced by the panels, its title becomes the figure's.
        curves: Recall in [0, 1] by panel (`mean`, then language codes), help and number of captions; the first help has
            every number, and its interval is drawn as a band.

    """
    figure, title = axes.figure, axes.get_title(loc="left")
    axes.remove()
    figure.set_size_inches(11.5, 5.4)
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold", fontsize=11.5)
    columns = math.ceil((len(curves) - 1) / 2)
    grid = figure.add_gridspec(2, 1 + columns, width_ratios=[3.4, *[1.0] * columns])
    large = figure.add_subplot(grid[:, 0])
    for number, (name, helped) in enumerate(curves.items()):
        small = None if number == 0 else grid[(number - 1) // columns, 1 + (number - 1) % columns]
        panel = large if small is None else figure.add_subplot(small, sharey=large)
        draw_help(panel, helped, list(next(iter(curves.values()))))
        panel.set_title(load_language(name).name if name in list_languages() else name, fontsize=9.5, pad=4)
        if small is not None:
            panel.tick_params(labelleft=(number - 1) % columns == 0, labelsize=7.5)
            panel.set_xticks(panel.get_xticks(), [name.get_text().split("\n")[0] for name in panel.get_xticklabels()])
    label_help(large, next(iter(curves.values())))


def draw_help(axes: Any, helped: Mapping[str, Mapping[str, Estimate]], kinds: Sequence[str]) -> None:
    """Draw one panel of `draw_effort`; each of all kinds of help keeps its colour where a language lacks another."""
    counts = list(helped[kinds[0]])
    looks = dict(zip(kinds, list_line_styles(), strict=False))
    for number, (kind, found) in enumerate(helped.items()):
        places = [counts.index(count) for count in found]
        values, (below, above) = in_percent(list(found.values()))
        axes.plot(places, values, markersize=4, zorder=3 - 0.1 * number, **looks[kind])
        if kind == kinds[0]:
            low = [value - gap for value, gap in zip(values, below, strict=True)]
            high = [value + gap for value, gap in zip(values, above, strict=True)]
            axes.fill_between(places, low, high, color=looks[kind]["color"], alpha=0.12, linewidth=0)
    axes.set_xticks(range(len(counts)), [f"{count}\n{format_effort(count)}".rstrip() for count in counts])


def label_help(axes: Any, helped: Mapping[str, Mapping[str, Estimate]]) -> None:
    """Write the kinds of help beside the left ends of their lines, and say what the axes are."""
    axes.set_xlim(left=-2.3)  # room for the names
    axes.figure.canvas.draw()
    annotate_points(
        axes, [(0.0, 100 * found["0"].value, kind) for kind, found in helped.items() if "0" in found], "left"
    )
    axes.set(
        ylabel="searches that find their image among the first ten, %",
        xlabel=f"images that people captioned; time at {CAPTION_SECONDS} seconds each",
    )


def format_effort(count: str) -> str:
    """Format the time that captions take, such as `4 min` or `4 h`; empty for none and for all."""
    if not count.isdecimal() or count == "0":
        return ""
    minutes = int(count) * CAPTION_SECONDS / 60
    return f"{minutes:.0f} min" if minutes < 60 else f"{minutes / 60:.0f} h"
