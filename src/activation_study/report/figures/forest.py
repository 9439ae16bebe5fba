"""A claim's cells with their intervals as a small SVG, written directly: a page has some eighty of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup
from matplotlib.ticker import MaxNLocator

from activation_study.report.figures.theme import GRID, INK, MUTED, OTHERS, SERIES
from activation_study.report.markup import element

WIDTH, LABEL, NUMBER, ROW, TOP = 620, 190, 165, 20, 20
"""Pixels: the drawing, the names at its left and the numbers at its right (at least), a row, the margin above."""
APART, LETTER, GAP = 48, 7, 12
"""Pixels between the middles of the axis' numbers, at least; of a letter, about; between words and marks, at least."""


@dataclass(frozen=True)
class Mark:
    """An estimate with its interval (NaN where there is none); the whole is drawn as a diamond."""

    name: str
    estimate: float
    low: float
    high: float
    whole: bool = False
    faint: bool = False


def forest(
    marks: Sequence[Mark],
    name: str,
    title: str,
    message: str,
    show: Callable[[float], str],
    unit: str,
    lines: Sequence[float],
) -> Markup:
    """Marks one below the other on a common axis.

    Args:
        name: prefix of the ids.
        title, message: what assistive technology reads out.
        show: a number as text; unit: what stands above them.
        lines: where vertical lines stand: zero first, then the smallest effect that matters, dashed.
    """
    known = [value for m in marks for value in (m.estimate, m.low, m.high) if value == value]
    low, high = min([*known, *lines]), max([*known, *lines])
    margin = 0.06 * ((high - low) or 1.0)
    numbers = [_said(mark, show) for mark in marks]
    left, right = max(LABEL, _room(m.name for m in marks)), WIDTH - max(NUMBER, _room(numbers))
    scale = (right - left) / (high - low + 2 * margin)
    height = TOP + ROW * len(marks) + 24

    def x(value: float) -> float:
        return round(left + (value - low + margin) * scale, 1)

    foot = height - 22
    parts = [element("title", title, id=f"{name}.title"), element("desc", message, id=f"{name}.desc")]
    parts.append(_text(WIDTH, 12, unit, MUTED, "end"))
    for number, line in enumerate(lines):
        dashes = {"stroke_dasharray": "4 3"} if number else {}
        parts.append(element("path", d=f"M{x(line)} {TOP}V{foot}", stroke=OTHERS if number else MUTED, **dashes))
    taken = []
    for line in lines:
        # Zero and the effect that matters may be close: one is named at its left, the other at its right.
        side = "middle" if len(lines) == 1 or (line == 0 and len(lines) == 3) else "end" if line <= 0 else "start"
        parts.append(_text(x(line), height - 8, show(line), MUTED, side))
        taken.append(x(line) + LETTER * len(show(line)) * {"end": -0.5, "middle": 0, "start": 0.5}[side])
    for tick in MaxNLocator(4).tick_values(low, high):
        if low <= tick <= high and all(abs(x(tick) - other) >= APART for other in taken):
            parts.append(element("path", d=f"M{x(tick)} {foot}v4", stroke=MUTED))
            parts.append(_text(x(tick), height - 8, show(tick), MUTED, "middle"))
    for number, (mark, said) in enumerate(zip(marks, numbers, strict=True)):
        y = TOP + ROW * number + ROW / 2
        colour = INK if mark.whole else OTHERS if mark.faint else SERIES[0]
        if mark.whole:
            parts.append(element("path", d=f"M0 {y - ROW / 2}H{WIDTH}", stroke=GRID))
        parts.append(_text(0, y + 4, mark.name, INK if not mark.faint else MUTED, bold=mark.whole))
        if mark.low == mark.low:
            parts.append(element("path", d=f"M{x(mark.low)} {y}H{x(mark.high)}", stroke=colour, stroke_width=2))
        if mark.estimate == mark.estimate:
            at = x(mark.estimate)
            if mark.whole:
                parts.append(element("path", d=f"M{at - 5} {y}l5 -5l5 5l-5 5z", fill=colour))
            else:
                parts.append(element("circle", cx=at, cy=y, r=4, fill=colour))
        parts.append(_text(WIDTH, y + 4, said, MUTED if mark.faint else INK, "end", bold=mark.whole))
    return element(
        "svg",
        Markup("").join(parts),
        xmlns="http://www.w3.org/2000/svg",
        class_="forest",
        viewBox=f"0 0 {WIDTH} {height}",
        width=WIDTH,
        height=height,
        role="img",
        aria_labelledby=f"{name}.title {name}.desc",
        font_size=12,
    )


def _said(mark: Mark, show: Callable[[float], str]) -> str:
    return show(mark.estimate) + (f" ({show(mark.low)} to {show(mark.high)})" if mark.low == mark.low else "")


def _room(words: Iterable[str]) -> int:
    return GAP + LETTER * max(map(len, words))


def _text(x: float, y: float, said: str, colour: str, anchor: str = "start", *, bold: bool = False) -> Markup:
    weight = {"font_weight": "bold"} if bold else {}
    return element("text", said, x=x, y=y, fill=colour, text_anchor=anchor, **weight)
