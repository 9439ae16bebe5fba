"""What accuracy costs: time of a training step against test accuracy."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from activation_study.core.numbers import decimals, percent
from activation_study.report.blocks import Figure, Paragraph, Section
from activation_study.report.figures.drawing import drawn, label_points, mark, panels, reach
from activation_study.report.figures.theme import MUTED, OTHERS, SERIES
from activation_study.report.names import label
from activation_study.report.study_data import StudyData
from activation_study.report.tables import Table, download, flag, interval, number, text
from activation_study.report.words import counted, fitting, plain_list

NAME, PART, PLACE = "Accuracy against cost", "How good, how fast", 60
FOLDS = True
NAMED = 3
"""Activations up to which the title names all that nothing beats."""


def section(data: StudyData) -> Section | None:
    points = data.trade_off
    if points.empty:
        return None
    lead = (
        "A training step's time over ReLU's was measured alone on the machine; accuracy is that of the ranking, the "
        "mean over datasets of equal weight. ReLU's own ratio is 1. An activation is on the Pareto front when no "
        "other is more accurate at a time that is not shown to be longer: where two times' intervals overlap, the more "
        "accurate one counts as no slower."
    )
    return Section("trade-off", "Accuracy against cost", [Paragraph(lead), _figure(points), _table(points)])


def _figure(points: pd.DataFrame) -> Figure:
    depths = sorted(points["depth"].unique())
    points = points.assign(behind=100 * (points.groupby("depth")["accuracy"].transform("max") - points["accuracy"]))
    fronts = [rows[rows["front"]].sort_values("ratio")["activation"].tolist() for _, rows in points.groupby("depth")]
    tops = points[points["behind"] == 0].drop_duplicates("depth")
    message = (
        "Up is more accurate, left is faster. Blue diamonds, joined and named: nothing more accurate but what is "
        "shown to be slower; lines: their 95% intervals; grey: the others. Most accurate: "
        + "; ".join(
            f"{row['activation']} at {row['depth']} layers ({percent(row['accuracy'])}, {decimals(row['ratio'], 2)} "
            "times ReLU's step)"
            for row in tops.to_dict("records")
        )
        + ". An arrow is an accuracy below the axis."
    )
    bottom = -reach(points["behind"])
    with panels(len(depths), min(len(depths), 3), 3.1) as (figure, axes):
        first, last = points["ratio"].min(), points["ratio"].max() + 1e-6
        axes[0].set(
            ylim=(1.03 * bottom, -0.15 * bottom), xlim=(first - 0.2 * (last - first), last + 0.1 * (last - first))
        )
        for axis, depth in zip(axes, depths, strict=True):
            rows = points[points["depth"] == depth]
            front = rows[rows["front"]].sort_values("ratio")
            axis.axvline(1, color=MUTED, linewidth=0.8)
            axis.plot(front["ratio"], -front["behind"], color=SERIES[0], linewidth=0.9, linestyle=(0, (4, 2)))
            for row in rows.sort_values("front").to_dict("records"):
                _point(axis, row, bottom)
            axis.set_title(f"{depth} layers")
            named = {row["activation"]: (row["ratio"], max(-row["behind"], bottom)) for row in front.to_dict("records")}
            others = rows.loc[~rows["front"], ["ratio", "behind"]]
            along = [(x, -y) for x, y in others.itertuples(index=False)]
            for low, high, y in front[["ratio_low", "ratio_high", "behind"]].itertuples(index=False):
                along += [(x, -y) for x in np.linspace(low, high, 12)]
            corners = list(zip(front["ratio"], -front["behind"], strict=True))
            for start, end in itertools.pairwise(corners):
                along += [tuple(at) for at in np.linspace(start, end, 20)]
            label_points(axis, named, dict.fromkeys(named, SERIES[0]), along)
        axes[0].set_ylabel("points of accuracy behind the best")
        figure.supxlabel("time of a training step over ReLU's", color=MUTED)
        return drawn(
            figure, "trade-off", _title(fronts), message, download("cost_and_accuracy", points.drop(columns="behind"))
        )


def _point(axis: Axes, row: dict[str, Any], bottom: float) -> None:
    """One activation, with intervals if it is on the front, or an arrow where it is below the axis."""
    colour, x, y = SERIES[0] if row["front"] else OTHERS, row["ratio"], -row["behind"]
    said = f"{percent(row['accuracy'])}, {decimals(row['ratio'], 2)} times ReLU's step"
    told = mark(row["activation"], said)
    if row["front"] and y >= bottom:
        low, high = (y + 100 * (row[f"accuracy_{end}"] - row["accuracy"]) for end in ("low", "high"))
        axis.hlines(y, row["ratio_low"], row["ratio_high"], color=colour, linewidth=0.8)
        axis.vlines(x, max(low, bottom), high, color=colour, linewidth=0.8)
    shape = "v" if y < bottom else "D" if row["front"] else "o"
    axis.plot(x, max(y, bottom), shape, color=colour, markersize=4.5, clip_on=False, **told)


def _title(fronts: list[list[str]]) -> str:
    """From the activations that nothing beats in both, a list per depth."""
    always = [label(name) for name in fronts[0] if all(name in front for front in fronts)]
    if not always:
        return "No activation is unbeaten in time and accuracy at every depth"
    where, verb = "at every depth" if len(fronts) > 1 else "here", "is" if len(always) == 1 else "are"
    named = plain_list(always)
    titles = [
        f"Unbeaten in time and accuracy {where}: {named}",
        f"{named} {verb} unbeaten in time and accuracy",
        f"Unbeaten in both: {named}",
    ]
    count = f"{counted(len(always), 'activation').capitalize()} {verb} unbeaten in time and accuracy {where}"
    return fitting(*(titles if len(always) <= NAMED else []), count)


def _table(points: pd.DataFrame) -> Table:
    frame = points.sort_values(["depth", "ratio"], ignore_index=True)
    columns = [
        number("Layers", "depth"),
        text("Activation", "activation", heads_row=True),
        number("Step time over ReLU's", "ratio", 2),
        interval("95% interval", "ratio", 2, 1),
        number("Test accuracy (%)", "accuracy", 2, 100),
        interval("95% interval (%)", "accuracy", 2),
        flag("On the Pareto front", "front", "◆ yes"),
        number("Networks", "n"),
        number("Diverged", "diverged"),
    ]
    widths = plain_list([f"{width:,}" for width in sorted(frame["width"].unique())])
    caption = f"Time of a training step (networks {widths} units wide) and mean test accuracy over datasets"
    return Table("table-trade-off", caption, columns, frame, download("cost_and_accuracy", points))
