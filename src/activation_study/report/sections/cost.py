"""What an activation costs relative to ReLU, measured alone on the machine."""

from __future__ import annotations

import pandas as pd

from activation_study.core.numbers import decimals
from activation_study.report.blocks import Figure, Paragraph, Section
from activation_study.report.figures.drawing import drawn, name_rows, panels, plain_log
from activation_study.report.figures.theme import MUTED, emphasis
from activation_study.report.study_data import StudyData
from activation_study.report.tables import Cell, Column, Row, Table, download, interval, number, significant, text
from activation_study.report.words import plain_list

NAME, PART, PLACE = "Computing cost", "How good, how fast", 50
FOLDS = True
SHOWS = (".log_cost_ratio",)
TIMED = {
    "op_forward": "Activation, forward",
    "op_backward": "Activation, backward",
    "step": "Training step",
    "inference": "Inference, one batch",
}


def section(data: StudyData) -> Section | None:
    cost = data.tables["cost"]
    if not len(cost):
        return None
    lead = (
        "Each activation was timed against ReLU in one process on one thread, in turns, on a machine with nothing else "
        "to do. What counts is the ratio: 1 costs as much as ReLU, 2 twice as much."
    )
    shown = [_figure(cost)] if cost["quantity"].isin(TIMED).any() else []
    return Section("cost", "Computing cost", [Paragraph(lead), *shown, _table(cost)])


def _figure(cost: pd.DataFrame) -> Figure:
    shown = [quantity for quantity in TIMED if (cost["quantity"] == quantity).any()]
    names = (
        cost.groupby("activation")["ratio_to_relu"].median().sort_values(ascending=False, kind="stable").index.tolist()
    )
    styles = emphasis([str(width) for width in sorted(cost["width"].unique())])
    title = "Computing time, relative to ReLU"
    message = (
        "Median of the paired ratios to ReLU with its 95% interval, by network width; the line at 1 is ReLU; log "
        "scale. " + _message(cost)
    )
    with panels(len(shown), len(shown), 1.0 + 0.26 * len(names), share=False) as (figure, axes):
        for axis, quantity in zip(axes, shown, strict=True):
            axis.axvline(1, color=MUTED, linewidth=0.8)
            for place, (width, style) in enumerate(styles.items()):
                rows = cost[(cost["quantity"] == quantity) & (cost["width"].astype(str) == width)]
                y = [names.index(name) + 0.22 * (place - (len(styles) - 1) / 2) for name in rows["activation"]]
                axis.hlines(y, rows["ratio_low"], rows["ratio_high"], color=style.colour, linewidth=1)
                axis.plot(
                    rows["ratio_to_relu"], y, style.marker, color=style.colour, markersize=3, label=f"width {width}"
                )
            axis.set_xscale("log")
            first, last = axis.get_xlim()
            plain_log(axis.xaxis, (1, 1.5, 2, 3, 5) if last / first < 10 else (1, 3) if last / first < 100 else (1,))
            name_rows(axis, names, labelled=axis is axes[0], pad=8)
            axis.set_title(TIMED[quantity])
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper left", ncols=5)
        figure.supxlabel("time over ReLU's", color=MUTED)
        return drawn(figure, "cost", title, message, download("cost_figure", cost[cost["quantity"].isin(TIMED)]))


def _message(cost: pd.DataFrame) -> str:
    steps = cost[(cost["quantity"] == "step") & (cost["activation"] != "relu")]
    if steps.empty:
        return ""
    ratios = steps.groupby("activation")["ratio_to_relu"].median().sort_values(ascending=False, kind="stable")
    slowest = [f"{name} ({decimals(ratio, 2)})" for name, ratio in ratios.iloc[:3].items()]
    fastest = f"{ratios.index[-1]} ({decimals(ratios.iloc[-1], 2)})"
    return f"Slowest in a whole training step: {plain_list(slowest)}; fastest: {fastest}.{_noise(cost)}"


def _noise(cost: pd.DataFrame) -> str:
    """How far from 1 ReLU came out against itself, which says how far to trust the others."""
    itself = cost.loc[(cost["quantity"] == "step") & (cost["activation"] == "relu"), "ratio_to_relu"]
    if itself.empty:
        return ""
    low, high = decimals(itself.min(), 2), decimals(itself.max(), 2)
    return f" ReLU timed against itself came out at {low} to {high}: a difference as small as that is noise."


def _table(cost: pd.DataFrame) -> Table:
    frame = cost.assign(**{f"ratio_to_relu_{end}": cost[f"ratio_{end}"] for end in ("low", "high")})
    columns = [
        text("Activation", "activation", heads_row=True),
        text("Quantity", "quantity"),
        number("Width", "width"),
        significant("Median", "median"),
        text("Unit", "unit"),
        number("Ratio to ReLU", "ratio_to_relu", 2),
        interval("95% interval", "ratio_to_relu", 2, 1),
        Column("Pairs timed", _pairs),
    ]
    return Table("table-cost-ratios", "Time and memory relative to ReLU", columns, frame, download("cost", cost))


def _pairs(row: Row) -> Cell:
    return Cell(f"{row['pairs']:,}" if row["pairs"] else "– counted", float(row["pairs"]))
