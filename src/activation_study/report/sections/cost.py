"""What an activation costs relative to ReLU, measured alone on the machine."""

from __future__ import annotations

import pandas as pd

from activation_study.core.numbers import decimals
from activation_study.report.blocks import Block, Figure, Paragraph, Section
from activation_study.report.figures.drawing import Look, at_right, drawn, name_rows, panels, plain_log
from activation_study.report.figures.theme import MUTED, emphasis
from activation_study.report.names import label
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
SAID = TIMED | {
    "op_share": "Activation's share of a step",
    "product": "Matrix product",
    "saved_memory": "Memory kept for the backward pass",
    "step_memory": "Memory of a step",
    "zero_fraction": "Zeros among activations",
    "skippable_macs": "Multiplications by zero",
    "sparse_product": "Matrix product that skips zeros",
}


def section(data: StudyData) -> Section | None:
    cost = data.tables["cost"]
    if not len(cost):
        return None
    lead = (
        "Each activation was timed against ReLU in one process on one thread, in turns, on a machine with nothing else "
        "to do. What counts is the ratio: 1 costs as much as ReLU, 2 twice as much."
    )
    blocks: list[Block] = [Paragraph(lead)]
    timed = [quantity for quantity in TIMED if (cost["quantity"] == quantity).any()]
    if "step" in timed:
        blocks.append(_figure(cost, ["step"], "cost", _title(cost), _message(cost)))
    if parts := [quantity for quantity in timed if quantity != "step"]:
        said = "The order is that of a whole training step."
        apart = _figure(cost, parts, "cost-parts", "Time of single passes, relative to ReLU", said)
        blocks.append(
            Section("cost-parts", "Single passes", [apart], plain_list([TIMED[one].lower() for one in parts]))
        )
    return Section("cost", "Computing cost", [*blocks, _table(cost)])


def _figure(cost: pd.DataFrame, shown: list[str], ident: str, title: str, said: str) -> Figure:
    """Fastest in a training step first; beside one panel its ratios stand as numbers, a column per width."""
    by_step = cost.assign(other=cost["quantity"] != "step").sort_values("other", kind="stable")
    by_step = by_step[by_step["other"] == by_step["other"].iloc[0]].groupby("activation")["ratio_to_relu"].median()
    names = by_step.sort_values(ascending=False, kind="stable").index.tolist()
    rows = cost[cost["quantity"].isin(shown) & cost["activation"].isin(names)]
    styles = emphasis([str(width) for width in sorted(rows["width"].unique())])
    message = (
        "Median of the paired ratios to ReLU with its 95% interval, by network width; the line at 1 is ReLU; log "
        f"scale. {said}"
    )
    with panels(len(shown), len(shown), 1.0 + 0.26 * len(names), share=False) as (figure, axes):
        for axis, quantity in zip(axes, shown, strict=True):
            axis.axvline(1, color=MUTED, linewidth=0.8)
            for place, (width, style) in enumerate(styles.items()):
                own = rows[(rows["quantity"] == quantity) & (rows["width"].astype(str) == width)]
                y = [names.index(name) + 0.22 * ((len(styles) - 1) / 2 - place) for name in own["activation"]]
                axis.hlines(y, own["ratio_low"], own["ratio_high"], color=style.colour, linewidth=1)
                look: Look = {"color": style.colour, "markersize": 3, "label": f"width {width}"}
                axis.plot(own["ratio_to_relu"], y, style.marker, **look)
                for name, ratio in zip(own["activation"], own["ratio_to_relu"], strict=True) if len(shown) == 1 else ():
                    at_right(axis, 1.07 + 0.07 * place, names.index(name), decimals(ratio, 2), style.colour)
                if len(shown) == 1:
                    at_right(axis, 1.07 + 0.07 * place, len(names) - 0.2, width, style.colour)
            axis.set_xscale("log")
            first, last = axis.get_xlim()
            plain_log(axis.xaxis, (1, 1.5, 2, 3, 5) if last / first < 10 else (1, 3) if last / first < 100 else (1,))
            name_rows(axis, names, labelled=axis is axes[0], pad=8)
            axis.set_title(TIMED[quantity])
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper left", ncols=5)
        figure.supxlabel("time over ReLU's", color=MUTED)
        return drawn(figure, ident, title, message, download(f"{ident.replace('-', '_')}_figure", rows))


def _title(cost: pd.DataFrame) -> str:
    """From the dearest training step by its median over widths, with the least and the greatest of them."""
    steps = cost[(cost["quantity"] == "step") & (cost["activation"] != "relu")]
    ratios = steps.groupby("activation")["ratio_to_relu"].median()
    if ratios.empty or ratios.max() < 1.05:
        return "No activation makes a training step much longer than ReLU"
    own = steps.loc[steps["activation"] == ratios.idxmax(), "ratio_to_relu"]
    least, most = decimals(own.min()), decimals(own.max())
    times = least if least == most else f"{least} to {most}"
    return f"{label(str(ratios.idxmax()))}'s training step takes {times} times ReLU's"


def _message(cost: pd.DataFrame) -> str:
    steps = cost[(cost["quantity"] == "step") & (cost["activation"] != "relu")]
    if steps.empty:
        return ""
    ratios = steps.groupby("activation")["ratio_to_relu"].median().sort_values(ascending=False, kind="stable")
    slowest = [f"{name} ({decimals(ratio, 2)})" for name, ratio in ratios.iloc[:3].items()]
    fastest = f"{ratios.index[-1]} ({decimals(ratios.iloc[-1], 2)})"
    found = f"{plain_list(slowest)}; fastest: {fastest}"
    return f"Slowest in a whole training step, median over widths: {found}.{_noise(cost)}"


def _noise(cost: pd.DataFrame) -> str:
    """How far from 1 ReLU came out against itself, which says how far to trust the others."""
    itself = cost.loc[(cost["quantity"] == "step") & (cost["activation"] == "relu"), "ratio_to_relu"]
    if itself.empty:
        return ""
    low, high = decimals(itself.min(), 2), decimals(itself.max(), 2)
    return f" ReLU timed against itself came out at {low} to {high}: a difference as small as that is noise."


def _table(cost: pd.DataFrame) -> Table:
    said = cost["quantity"].map(lambda name: SAID.get(name, name))
    frame = cost.assign(said=said, **{f"ratio_to_relu_{end}": cost[f"ratio_{end}"] for end in ("low", "high")})
    columns = [
        text("Activation", "activation", heads_row=True),
        text("Quantity", "said"),
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
