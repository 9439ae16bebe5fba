"""Heat maps of a few classes: a path per colour, which needs no image and turns dark with the page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, PathPatch
from matplotlib.path import Path

from activation_study.report.figures.theme import GAP

Classes = Sequence[tuple[str, str]]
"""Colour and meaning of each class, by ascending values; "" is not drawn."""


def heat(
    axis: Axes,
    values: np.ndarray,
    edges: Sequence[float],
    classes: Classes,
    place: tuple[float, float, float, float] | None = None,
) -> None:
    """Draw [rows, columns], the first row at the bottom, in the colours of their classes; NaN as a gap.

    Args:
        edges: where one class ends and the next begins, one fewer than classes; a value on an edge is of the upper.
        place: left, bottom, width, height in data units; by default cells are of size 1, the first centred at (0, 0).
    """
    rows, columns = values.shape
    left, bottom, width, height = place or (-0.5, -0.5, columns, rows)
    found = np.where(np.isnan(values), len(classes), np.digitize(values, edges))
    for number, colour in enumerate([*(colour for colour, _ in classes), GAP]):
        boxes = [
            (left + width * first / columns, bottom + height * row / rows, width * count / columns, height / rows)
            for row, first, count in _runs(found == number)
        ]
        if colour and boxes:
            corners = [[(x, y), (x + w, y), (x + w, y + h), (x, y + h), (x, y)] for x, y, w, h in boxes]
            codes = [Path.MOVETO, *[Path.LINETO] * 3, Path.CLOSEPOLY] * len(boxes)
            path = Path(np.concatenate(corners), codes)
            axis.add_patch(PathPatch(path, facecolor=colour, linewidth=0, clip_on=False, zorder=1))


def _runs(mask: np.ndarray) -> Iterator[tuple[int, int, int]]:
    """Row, first column and number of columns of neighbours that are all true."""
    for row, cells in enumerate(mask):
        ends = np.flatnonzero(np.diff(np.concatenate([[0], cells.astype(int), [0]])))
        for first, last in zip(ends[::2], ends[1::2], strict=True):
            yield row, int(first), int(last - first)


def key(figure: Figure, classes: Classes, missing: str = "") -> None:
    """The classes above the panels, and what a gap is."""
    shown = [(colour, said) for colour, said in [*classes, (GAP, missing)] if said]
    handles = [Patch(facecolor=colour or "none", edgecolor=GAP, linewidth=0.4, label=said) for colour, said in shown]
    figure.legend(handles=handles, loc="outside upper left", ncols=len(shown), handlelength=1, columnspacing=1)
