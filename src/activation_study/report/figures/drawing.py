"""What figures are made of: panels, axes, and the names at lines, points and rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib

matplotlib.use("svg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure as MatplotlibFigure
from matplotlib.gridspec import GridSpecBase
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from activation_study.report.blocks import Figure
from activation_study.report.figures.svg import MARK, svg
from activation_study.report.figures.theme import INK, MUTED, OTHERS, STYLE, Series, look_number
from activation_study.report.names import is_activation, label, relabelled
from activation_study.report.tables import Download

Look = dict[str, Any]
"""Keywords of what matplotlib draws."""
WIDTH = 8.8
"""Inches: 845 px on the page."""


@contextmanager
def panels(
    count: int, columns: int, height: float, *, share: bool | str = True, width: float = WIDTH
) -> Iterator[tuple[MatplotlibFigure, list[Axes]]]:
    """A figure of `count` panels in rows of `columns`, each `height` inches; closed at the end."""
    rows = -(-count // columns)
    with plt.rc_context(STYLE):
        figure, grid = plt.subplots(
            rows,
            columns,
            figsize=(width, rows * height),
            layout="constrained",
            squeeze=False,
            sharex=share,
            sharey=share,
        )
        axes = list(grid.flat)
        for unused in axes[count:]:
            unused.set_axis_off()
        if share in (True, "all", "col"):  # the last panel of a column carries its ticks, also above an unused place
            for axis in axes[max(0, count - columns) : count]:
                axis.tick_params(labelbottom=True)
        try:
            yield figure, axes[:count]
        finally:
            plt.close(figure)


def drawn(figure: MatplotlibFigure, name: str, title: str, message: str, data: Download) -> Figure:
    """The open panels as the page's figure of that name; see ``svg`` for what it holds them to."""
    ident, title, message = f"figure-{name}", relabelled(title), relabelled(message)
    title = title[:1].upper() + title[1:]
    return Figure(ident, title, message, svg(figure, ident, title, message), data)


def mark(name: str, said: str = "", *, grey: bool = False) -> Look:
    """Keywords of what is drawn for an activation: the page can highlight it, and shows `said` at it on demand.

    A `grey` line, which has no name, gets the activation's own look and its name while it is highlighted.
    """
    if not is_activation(name):
        return {}
    return {"gid": f"{MARK}{name}|{look_number(name) if grey else ''}|{label(name)}{': ' * bool(said)}{said}"}


def columns_for(count: int) -> int:
    """Columns of small multiples that leave few places empty."""
    return 3 if count < 4 or (count < 12 and count % 3 == 0 and count % 4) else 4


FEW = 6
"""Rows of which an axis holds all, and for which a panel below a key has room at least."""


def rows_high(count: int, *, keyed: bool = False) -> float:
    """Inches for a panel with one row per activation, title and axis label included, in a figure with a key or not."""
    return 0.75 + 0.17 * max(count, FEW if keyed else 3)


def name_rows(axis: Axes, names: Sequence[str], *, labelled: bool = True, pad: float = 3.5, most: int = 24) -> None:
    """A row per name of at most so many characters, the first at the bottom; `pad` points between names and axis."""
    axis.set_yticks(range(len(names)), [short(name, most) if labelled else "" for name in names], color=INK)
    for tick, name in zip(axis.get_yticklabels(), names, strict=True):
        tick.set(**mark(name))
    axis.set_ylim(-0.7, len(names) - 0.3)
    axis.tick_params(axis="y", length=0, pad=pad)
    axis.spines["left"].set_visible(False)


def lines(axis: Axes, frame: pd.DataFrame, x: str, y: str, styles: Mapping[str, Series], by: str) -> None:
    """One line per value of `by`: the emphasised ones in their style, over the others in grey."""
    for name, group in frame[~frame[by].isin(list(styles))].groupby(by, sort=True):
        axis.plot(group[x], group[y], color=OTHERS, linewidth=0.7, alpha=0.75, zorder=1.5, **mark(name, grey=True))
    for name in reversed([name for name in styles if name in set(frame[by])]):
        style = styles[name]
        group = frame[frame[by] == name]
        axis.plot(group[x], group[y], color=style.colour, linestyle=style.line, zorder=3, **mark(name))


def log_steps(axis: Axes, last: float, label: str = "", first: float = 1) -> None:
    """A logarithmic axis of training steps from `first` to `last`."""
    axis.set_xscale("log")
    axis.set_xlim(first, last)
    axis.xaxis.set_major_locator(LogLocator(subs=(1,) if last / first > 100 else (1, 2, 5)))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:z,.0f}"))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.set_xlabel(label)


def plain_log(axis: Axis, subs: Sequence[float] = (1, 2, 5)) -> None:
    """Ticks of a logarithmic axis as plain numbers, at these multiples of the powers of ten."""
    axis.set_major_locator(LogLocator(subs=subs))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:z,g}"))
    axis.set_minor_locator(NullLocator())


def reach(behind: pd.Series, keep: pd.Series | None = None) -> float:
    """How far behind the best an axis goes: most values and those to `keep` fit; beyond is an arrow."""
    if len(behind) < FEW:
        return max(1.0, float(behind.max()) * 1.15)
    near = behind <= max(4.0, 2.5 * behind.median())
    return max(1.0, float(behind[near if keep is None else near | keep].max()) * 1.15)


def label_ends(axis: Axes, ends: Mapping[str, tuple[float, float]], colours: Mapping[str, str]) -> None:
    """Names at the right ends of lines, at (x, y) in data units, moved apart where they would overlap; the axis's
    limits and scale are final."""
    if not ends:
        return
    within = axis.transScale + axis.transLimits  # what layout moves is not in it
    names = sorted(ends, key=lambda name: ends[name][1])
    heights = np.array([within.transform(ends[name])[1] for name in names])
    size, grid = _around(axis)
    gap = 10.5 / (size[1] * 72 * 0.8 / grid.nrows)
    for name, height in zip(names, spread(heights, gap), strict=True):
        axis.annotate(
            short(name, 16),
            (1, height),
            xycoords="axes fraction",
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            color=colours[name],
            annotation_clip=False,
            **mark(name),
        )


def name_lines(figure: MatplotlibFigure, styles: Mapping[str, Series]) -> None:
    """The names of lines above the panels, where the lines themselves run too close to carry them."""
    handles = [Line2D([], [], color=one.colour, linestyle=one.line) for one in styles.values()]
    names = [short(name) for name in styles]
    legend = figure.legend(handles, names, loc="outside upper left", ncols=len(names), handlelength=3)
    for name, *parts in zip(styles, legend.get_lines(), legend.get_texts(), strict=True):
        for part in parts:
            part.set(**mark(name))


def label_points(
    axis: Axes,
    points: Mapping[str, tuple[float, float]],
    colours: Mapping[str, str] | None = None,
    avoid: Sequence[tuple[float, float]] = (),
) -> None:
    """Names beside points at (x, y) in data units of an axis whose limits are final, where they hide the least.

    A name goes to the first of its places around the point that no earlier name or point takes, or else to the one with
    the fewest; a thin line leads to one further off. `avoid` are other points to keep clear.
    """
    size, grid = _around(axis)
    size = size * 72 / [grid.ncols, grid.nrows] * [0.8, 0.72]  # points, about
    inside = axis.transAxes.inverted()
    at = {name: inside.transform(axis.transData.transform(point)) * size for name, point in points.items()}
    marks = [*at.values(), *(inside.transform(axis.transData.transform(point)) * size for point in avoid)]
    taken = [(x - 3, y - 3, x + 3, y + 3) for x, y in marks]
    for name in sorted(at, key=lambda name: (-at[name][1], at[name][0])):
        said = short(name, 16)
        width, height = 5.1 * len(said), 9.6
        boxes = []
        for ring in (1, 2, 3):
            beside, above = 5 * ring, 9.6 * ring
            for dx in (beside, -beside - width, -width / 2):
                for dy in (0, above, -above) if dx != -width / 2 else (above, -above):
                    x, y = at[name][0] + dx, at[name][1] + dy - height / 2
                    boxes.append((x, y, x + width, y + height))
        hidden = [sum(_overlap(box, other) for other in taken) + _outside(box, size) for box in boxes]
        best = int(np.argmin(hidden))
        box = boxes[best]
        taken.append(box)
        line = {"arrowstyle": "-", "color": OTHERS, "linewidth": 0.5, "shrinkA": 0, "shrinkB": 2}
        axis.annotate(
            said,
            points[name],
            xytext=(box[0] - at[name][0], box[1] - at[name][1] + height / 2),
            textcoords="offset points",
            va="center",
            color=(colours or {}).get(name, MUTED),
            arrowprops=line | {"relpos": (0.5, 0.5)} if best >= len(boxes) // 3 else None,
            annotation_clip=False,
            in_layout=False,
            **mark(name),
        )


def _around(axis: Axes) -> tuple[np.ndarray, GridSpecBase]:
    """Width and height in inches of the axis's figure, and its grid."""
    figure, place = axis.get_figure(root=True), axis.get_subplotspec()
    assert figure is not None
    assert place is not None
    return figure.get_size_inches(), place.get_gridspec()


def _overlap(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    across = min(one[2], other[2]) - max(one[0], other[0])
    up = min(one[3], other[3]) - max(one[1], other[1])
    return max(across, 0) * max(up, 0)


def _outside(box: tuple[float, ...], size: np.ndarray) -> float:
    """The part of a box that is not within the axis."""
    within = _overlap(box, (0, 0, *size))
    return (box[2] - box[0]) * (box[3] - box[1]) - within


def spread(positions: np.ndarray, gap: float) -> np.ndarray:
    """Ascending positions moved as little as needed to stand `gap` apart, kept within [0, 1] where they fit."""
    if len(positions) < 2:
        return np.clip(positions, 0, 1)
    gap = min(gap, 1 / (len(positions) - 1))
    moved = np.clip(positions, 0, 1)
    for i in range(1, len(moved)):
        moved[i] = max(moved[i], moved[i - 1] + gap)
    moved[-1] = min(moved[-1], 1)
    for i in range(len(moved) - 2, -1, -1):
        moved[i] = min(moved[i], moved[i + 1] - gap)
    return moved


def at_right(axis: Axes, x: float, y: float, said: str, colour: str = INK) -> None:
    """A number to the right of the axis: its right end at `x` axis widths, at `y` in data units."""
    axis.text(x, y, said, transform=axis.get_yaxis_transform(), ha="right", va="center", color=colour)


def colours_of(styles: Mapping[str, Series]) -> dict[str, str]:
    """The colour of each style, for names."""
    return {name: style.colour for name, style in styles.items()}


def short(name: str, most: int = 24) -> str:
    """A name, or what readers call it, that leaves a figure its place; the tables have it whole."""
    name = label(name)
    return name if len(name) <= most else name[: most - 1] + "…"


def powers(axis: Axes, low: float, high: float) -> None:
    """A vertical axis of powers of ten whose exponents go from `low` to `high`."""
    low, high = np.nan_to_num([low, high])
    margin = 0.05 * max(high - low, 1)
    axis.set_ylim(min(low, 0) - margin, max(high, 0) + margin)
    axis.yaxis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=1))  # below a decade there is one
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: power_of_ten(value) if round(value) else "1"))


def layer_ticks(axis: Axes) -> None:
    """Whole layers only."""
    axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))


def power_of_ten(exponent: float) -> str:
    """10 with a raised exponent, as plain text."""
    return "10" + f"{exponent:z.0f}".translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
