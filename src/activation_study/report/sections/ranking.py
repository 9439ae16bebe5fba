"""Test accuracy per dataset and depth, with intervals and ranks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from activation_study.core.numbers import decimals, percent
from activation_study.report.blocks import Figure, Paragraph, Section
from activation_study.report.figures.drawing import Look, drawn, mark, name_rows, panels, reach, rows_high, short
from activation_study.report.figures.theme import INK, MUTED, OTHERS, SERIES
from activation_study.report.names import label
from activation_study.report.study_data import StudyData, cell_name, in_cell
from activation_study.report.tables import (
    Cell,
    Column,
    Row,
    Table,
    cell_columns,
    download,
    interval,
    number,
    part,
    seed_columns,
    significant,
    text,
)
from activation_study.report.words import drawn_of, pictured, plain_list

NAME, PART, PLACE = "Ranking", "How good, how fast", 10
SHOWS = ("core.test_accuracy",)


def section(data: StudyData) -> Section | None:
    if not len(data.ranking):
        return None
    lead = (
        "Each network is scored once, on test data, at a learning rate that other seeds chose for its activation. A "
        "diverged network counts at chance. Ranks describe these runs; ties share the better rank. The best is picked "
        "by the same seeds that score it, which flatters its lead a little."
    )
    return Section("ranking", "Ranking", [Paragraph(lead), _figure(data), _overall(data), _by_cell(data)])


def _figure(data: StudyData) -> Figure:
    cells = data.few.pictured
    names = data.few.order[::-1]
    places = {name: place for place, name in enumerate(names)}
    columns = min(3, len(cells)) if len(cells) != 4 else 2
    firsts = [in_cell(data.ranking, cell).iloc[0] for cell in cells]
    message = (
        f"Axes differ. Blue diamond: first in its panel; bars: {data.intervals}; arrow: beyond the axis"
        + ("; cross: networks diverged." if data.ranking["diverged"].any() else ".")
        + pictured(data)
        + drawn_of(data)
    )
    with panels(len(cells), columns, rows_high(len(names)), share=False) as (figure, axes):
        for position, (axis, cell) in enumerate(zip(axes, cells, strict=True)):
            rows = in_cell(data.ranking, cell)
            rows = rows[rows["activation"].isin(names)]
            best = rows["test_accuracy"].max() * 100
            left = best - reach(best - rows["test_accuracy"] * 100)
            for _, row in rows.iterrows():
                _dot(axis, row, places[row["activation"]], left)
            asked = set(data.runs.loc[(data.runs[["dataset", "depth"]] == list(cell[:2])).all(axis=1), "activation"])
            absent = [name for name in names if name not in set(rows["activation"])]
            for said, those in (
                ("no data", [name for name in absent if name in asked]),
                ("not run", [name for name in absent if name not in asked]),
            ):
                at: Look = {"transform": axis.get_yaxis_transform(), "va": "center", "color": MUTED}
                for name in those[-1:]:  # once per panel, in the highest row that it is about
                    axis.text(0.5, places[name], f"{said}: {len(those)} without a mark", ha="center", **at)
            name_rows(axis, names, labelled=position % columns == 0, pad=8)
            axis.set(xlim=(left, None), title=short(cell_name(cell), 36))
            if position >= len(cells) - columns:
                axis.set_xlabel("test accuracy (%)")
        return drawn(figure, "ranking", _title(firsts), message, download("ranking", data.ranking))


def _title(firsts: Sequence[pd.Series]) -> str:
    """From the first of every panel."""
    led = pd.Series([row["activation"] for row in firsts]).value_counts()
    most = label(str(led.index[0]))
    if len(led) == 1:
        return f"{most} scores most in every panel"
    if led.iloc[0] == 1:
        return "In every panel another activation scores most"
    return f"None scores most everywhere; {most} does in {led.iloc[0]} of {len(firsts)}"


def _dot(axis: Axes, row: pd.Series, y: int, left: float) -> None:
    """One activation's accuracy with its interval, or an arrow with the number where it is off the axis."""
    first, accuracy = row["rank"] == 1, row["test_accuracy"] * 100
    colour = SERIES[0] if first else OTHERS
    if accuracy < left:
        axis.plot(left, y, "<", color=colour, markersize=5, clip_on=False, in_layout=False)
        diverged = f", {row['diverged']} of {row['n']} diverged" if row["diverged"] else ""
        at: Look = {"textcoords": "offset points", "va": "center", "color": MUTED}
        axis.annotate(percent(row["test_accuracy"]) + diverged, (left, y), (6, 0), **at)
        return
    if row["test_accuracy_low"] * 100 < left:
        axis.plot(left, y, "<", color=colour, markersize=4, clip_on=False, in_layout=False)
    ends = np.clip([row["test_accuracy_low"] * 100, row["test_accuracy_high"] * 100], left, 100)
    axis.plot(ends, [y, y], color=colour, solid_capstyle="butt")
    interval_ = f"{decimals(row['test_accuracy_low'] * 100)} to {percent(row['test_accuracy_high'])}"
    told = mark(row["activation"], f"{percent(row['test_accuracy'])} ({interval_})")
    axis.plot(accuracy, y, "D" if first else "o", color=colour, markersize=5, **told)
    if row["diverged"]:
        axis.plot(accuracy, y, "x", color=INK, markersize=7, markeredgewidth=1.2)


def _overall(data: StudyData) -> Table:
    columns = [
        text("Activation", "activation", heads_row=True),
        number("Accuracy (%)", "accuracy", 2, 100),
        interval("95% interval (%)", "accuracy", 2),
        number("Difference from the best (points)", "difference", 2, 100, signed=True),
        interval("95% interval (points)", "difference", 2, signed=True),
        number("Mean rank", "mean_rank", 1),
        part("Cells", "cells", "of"),
        number("Networks", "n"),
        number("Diverged", "diverged"),
    ]
    if data.gives_verdicts:
        columns[5:5] = [
            significant("p (Holm)", "p", 2),
            Column("Distinguishable from the best", _distinguishable, numeric=False),
        ]
    caption = "Mean test accuracy over the combinations of dataset and depth that every activation has"
    return Table("table-overall", caption, columns, data.overall, download("overall", data.overall))


def _distinguishable(row: Row) -> Cell:
    if row["cells"] < row["of"]:
        return Cell("– not compared")
    return Cell("= no" if row["tied"] else "≠ yes")


def _rate(row: Row) -> Cell:
    return Cell(f"{row['learning_rate']:zg}" + " (edge)" * bool(row["edge"]), float(row["learning_rate"]))


def _by_cell(data: StudyData) -> Table:
    frame = data.ranking
    columns = [
        *cell_columns(frame),
        number("Rank", "rank"),
        text("Activation", "activation", heads_row=True),
        number("Test accuracy (%)", "test_accuracy", 2, 100),
        interval("95% interval (%)", "test_accuracy", 2),
        *seed_columns(),
        Column("Learning rate", _rate),
        number("Test − training loss (nats)", "generalisation_gap", 3),
        number("Parameters", "parameters"),
    ]
    edges = frame.loc[frame["edge"].astype(bool), "activation"].unique().tolist()
    caption = "Every run of the ranking"
    if edges:
        caption += f"; (edge): the best rate tried stood at the end of the grid, for {plain_list(sorted(edges))}"
    return Table("table-ranking", caption, columns, frame, download("ranking", frame))
