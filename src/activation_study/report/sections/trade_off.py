"""What accuracy costs: time of a training step against test accuracy."""

from __future__ import annotations

import numpy as np
import pandas as pd

from activation_study.analysis.experiments import cost_against_quality
from activation_study.core.numbers import decimals, percent
from activation_study.report.blocks import Figure, Paragraph, Section
from activation_study.report.figures.drawing import drawn, label_points, mark, panels, reach
from activation_study.report.figures.theme import MUTED, OTHERS, SERIES
from activation_study.report.study_data import StudyData
from activation_study.report.tables import Table, download, flag, interval, number, text
from activation_study.report.words import plain_list

NAME, PART, PLACE = "Accuracy against cost", "How good, how fast", 60
FOLDS = True


def section(data: StudyData) -> Section | None:
    points = cost_against_quality(data.tables["cost"], data.runs) if len(data.ranking) else pd.DataFrame()
    if points.empty:
        return None
    lead = (
        "A training step's time over ReLU's was measured alone on the machine; accuracy is that of the ranking, the "
        "mean over datasets of equal weight. An activation is on the Pareto front when no other is at least as fast "
        "and at least as accurate, and better in one of the two. Where intervals overlap, neighbours may change places."
    )
    return Section("trade-off", "Accuracy against cost", [Paragraph(lead), _figure(points), _table(points)])


def _figure(points: pd.DataFrame) -> Figure:
    depths = sorted(points["depth"].unique())
    fronts = {
        depth: rows[rows["front"]].sort_values("ratio")["activation"].tolist()
        for depth, rows in points.groupby("depth")
    }
    always = [name for name in fronts[depths[0]] if all(name in front for front in fronts.values())]
    tops = points.loc[points.groupby("depth")["accuracy"].idxmax()]
    title = "Test accuracy against the time of a training step"
    message = (
        "Up is more accurate, left is faster; lines: 95% intervals; blue, joined: the Pareto front. "
        f"On the front at every depth: {plain_list(always) or 'none'}. Most accurate: "
        + "; ".join(
            f"{row['activation']} at {row['depth']} layers ({percent(row['accuracy'])}, {decimals(row['ratio'], 2)} "
            "times ReLU's step)"
            for row in tops.to_dict("records")
        )
        + ". An arrow at the bottom is an accuracy below the axis."
    )
    columns = min(len(depths), 2)
    with panels(len(depths), columns, 3.3, share=False) as (figure, axes):
        for place, (axis, depth) in enumerate(zip(axes, depths, strict=True)):
            rows = points[points["depth"] == depth]
            best = rows["accuracy"].max() * 100
            bottom = best - reach(best - rows["accuracy"] * 100)
            front = rows[rows["front"]].sort_values("ratio")
            axis.plot(front["ratio"], front["accuracy"] * 100, color=SERIES[0], linewidth=0.9, linestyle=(0, (4, 2)))
            shown, along = {}, []
            for row in rows.to_dict("records"):
                colour, y = SERIES[0] if row["front"] else OTHERS, row["accuracy"] * 100
                shown[row["activation"]] = (row["ratio"], max(y, bottom))
                if y < bottom:
                    axis.plot(row["ratio"], bottom, "v", color=colour, markersize=5, clip_on=False)
                    continue
                axis.hlines(y, row["ratio_low"], row["ratio_high"], color=colour, linewidth=0.8)
                low, high = max(row["accuracy_low"] * 100, bottom), row["accuracy_high"] * 100
                axis.vlines(row["ratio"], low, high, color=colour, linewidth=0.8)
                along += [(x, y) for x in np.linspace(row["ratio_low"], row["ratio_high"], 15)]
                said = f"{percent(row['accuracy'])}, {decimals(row['ratio'], 2)} times ReLU’s step"
                told = mark(row["activation"], said)
                axis.plot(row["ratio"], y, "D" if row["front"] else "o", color=colour, markersize=4.5, **told)
            axis.axvline(1, color=MUTED, linewidth=0.8)
            axis.set(title=f"{depth} layers", ylim=(bottom - 0.02 * (best - bottom), best + 0.12 * (best - bottom)))
            label_points(axis, shown, dict.fromkeys(front["activation"], SERIES[0]), along)
            if place % columns == 0:
                axis.set_ylabel("test accuracy (%)")
        figure.supxlabel("time of a training step over ReLU's", color=MUTED)
        return drawn(figure, "trade-off", title, message, download("cost_and_accuracy", points))


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
