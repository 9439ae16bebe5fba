"""How fast: learning curves, and steps to the target with those that never reach it."""

from __future__ import annotations

import numpy as np
import pandas as pd

from activation_study.analysis.standing import CELL
from activation_study.core.numbers import decimals
from activation_study.report.blocks import Block, Figure, Paragraph, Section
from activation_study.report.figures.drawing import (
    Look,
    at_right,
    drawn,
    lines,
    log_steps,
    mark,
    name_lines,
    name_rows,
    panels,
    rows_high,
    short,
)
from activation_study.report.figures.theme import INK, MUTED, OTHERS, SERIES, looks
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
    text,
)
from activation_study.report.words import fitting, pictured, plain_list

NAME, PART, PLACE = "Convergence", "How good, how fast", 30
FOLDS = True


def section(data: StudyData) -> Section | None:
    blocks: list[Block] = []
    if len(data.curves):
        blocks.append(_curves(data))
    if len(data.ranking):
        blocks += [
            Paragraph(
                "The time to target is the number of training steps until the validation accuracy first reaches the "
                "dataset's target, which was fixed beforehand. A network that never gets there is right-censored at "
                "the end of training: it stays in, and the median is only given when at least half reach the target."
            ),
            _times(data),
            _time_table(data),
        ]
    return Section("convergence", "Convergence", blocks) if blocks else None


def _curves(data: StudyData) -> Figure:
    styles = looks(data.emphasised)
    cells = [cell for cell in data.pictured if len(in_cell(data.curves, cell))]
    columns = 2 if len(cells) in (1, 2, 4) else 3
    frame = data.curves[data.curves["step"] > 0].assign(percent=lambda table: table["validation_accuracy"] * 100)
    message = (
        "Validation accuracy, mean over seeds with its 95% interval, each activation at its own learning rate; "
        "steps on a log scale. Grey: the activations without a name; dashed: the target; a network that diverged "
        "counts as guessing." + pictured(data)
    )
    kept = [*CELL, "activation", "step", "n", "diverged", "validation_accuracy", "validation_accuracy_low"]
    kept += ["validation_accuracy_high", "validation_loss", "train_loss"]
    with panels(len(cells), columns, 2.3, share=False) as (figure, axes):
        for position, (axis, cell) in enumerate(zip(axes, cells, strict=True)):
            rows = in_cell(frame, cell)
            for name, style in styles.items():
                own = rows[rows["activation"] == name]
                bounds = (own[f"validation_accuracy_{end}"] * 100 for end in ("low", "high"))
                axis.fill_between(own["step"], *bounds, color=style.colour, alpha=0.2, linewidth=0, **mark(name))
            lines(axis, rows, "step", "percent", styles, "activation")
            target = in_cell(data.ranking, cell)["target"].iloc[0] * 100
            axis.axhline(target, color=MUTED, linewidth=0.8, linestyle="--")
            log_steps(axis, rows["step"].max(), "training step" if position >= len(cells) - columns else "")
            axis.set(title=short(cell_name(cell), 36), ylim=(0, 100))
            if position % columns == 0:
                axis.set_ylabel("validation accuracy (%)")
        name_lines(figure, {name: style for name, style in styles.items() if name in set(frame["activation"])})
        return drawn(
            figure, "curves", _fastest(data), message, download("learning_curves", data.curves[kept], digits=5)
        )


def _fastest(data: StudyData) -> str:
    """Title from who gets to the target first, cell by cell."""
    first = [
        in_cell(data.ranking, cell).sort_values(["restricted_time", "activation"]).iloc[0] for cell in data.pictured
    ]
    led = pd.Series([row["activation"] for row in first if row["reached"]], dtype=object).value_counts()
    if led.empty:
        return "No activation reaches a target"
    if led.iloc[0] == 1 and len(first) > 1:
        return "In every panel another activation reaches the target first"
    return f"{label(str(led.index[0]))} reaches the target first in {led.iloc[0]} of {len(first)} panels"


def _times(data: StudyData) -> Figure:
    cells = data.pictured
    ranks = data.ranking.groupby(["dataset", "depth", "condition"])["restricted_time"].rank()
    speed = ranks.groupby(data.ranking["activation"]).mean().sort_values(ascending=False, kind="stable")
    names = speed.index.tolist()
    places = {name: place for place, name in enumerate(names)}
    columns = 2 if len(cells) in (1, 2, 4) else 3
    everywhere = data.ranking[pd.MultiIndex.from_frame(data.ranking[CELL]).isin(data.common)]
    missed = set(everywhere.loc[everywhere["reached"] < everywhere["n"], "activation"])
    sure = [name for name in names[::-1] if name not in missed]
    where = _where(everywhere["depth"], data.ranking["depth"].drop(everywhere.index))
    message = (
        "Fastest first; axes differ. One dot per network; a hollow triangle at the right end is a network that had not "
        "reached the target when training stopped; the count is how many did. Log scale. "
        f"Reached it with every network{where}: {plain_list(sure) or 'none'}."
    )
    replicas = data.evaluation
    shown = [*CELL, "activation", "replicate", "status", "reached", "time_to_target", "target", "horizon"]
    with panels(len(cells), columns, rows_high(len(names)), share=False) as (figure, axes):
        for position, (axis, cell) in enumerate(zip(axes, cells, strict=True)):
            rows = in_cell(replicas, cell)
            horizon = rows["horizon"].iloc[0]
            floor = max(1, 0.7 * np.nanmin([*rows["time_to_target"].astype(float), horizon / 10]))
            for name, group in rows.groupby("activation"):
                reached = group["reached"].astype(bool)
                times = group.loc[reached, "time_to_target"].astype(float).clip(lower=1)
                y, over = places[name], {"clip_on": False, "in_layout": False}
                look: Look = {"color": SERIES[0], "alpha": 0.55, "markersize": 4, "markeredgewidth": 0}
                told = mark(name, f"{reached.sum()} of {len(group)} reached the target")
                axis.plot(times, [y] * len(times), "o", **look, **over, **told)
                if not reached.all():
                    axis.plot(horizon, y, ">", color=OTHERS, markerfacecolor="none", markersize=6, **over, **told)
                colour = INK if reached.all() else MUTED
                at_right(axis, 1.17 if columns == 2 else 1.22, y, f"{reached.sum()}/{len(group)}", colour)
            if len(absent := [name for name in names if name not in set(rows["activation"])]):
                at: Look = {"transform": axis.get_yaxis_transform(), "ha": "center", "va": "center"}
                axis.text(0.5, places[absent[-1]], f"not run: {len(absent)} without a mark", color=MUTED, **at)
            log_steps(axis, horizon, "training step" if position >= len(cells) - columns else "", floor)
            name_rows(axis, names, labelled=position % columns == 0)
            axis.set_title(short(cell_name(cell), 36))
        return drawn(
            figure, "times", _always(sure, len(names), where), message, download("times_to_target", replicas[shown])
        )


def _where(common: pd.Series, others: pd.Series) -> str:
    """In words where all activations were trained, from the depths of these combinations and of the others."""
    if others.empty:
        return ""
    if set(common) & set(others):
        return " where all were trained"
    return f" at {plain_list([f'{depth}' for depth in sorted(common.unique())])} layers"


def _always(sure: list[str], of: int, where: str) -> str:
    """Title from the activations of which every network reached every target, where all were trained."""
    if not where:
        who = f"{len(sure)} of {of} activations reach" if sure else "No activation reaches"
        return f"{who} the target with every network"
    who = f"{len(sure)} of {of} always {'reaches' if len(sure) == 1 else 'reach'}" if sure else "none always reaches"
    found = [f"{one}, {who} the target" for one in (where, " where all were trained")]
    return fitting(*(one.strip().capitalize() for one in found))


def _time_table(data: StudyData) -> Table:
    frame = data.ranking.sort_values([*CELL, "restricted_time", "activation"])
    columns = [
        *cell_columns(frame),
        text("Activation", "activation", heads_row=True),
        number("Target (%)", "target", 0, 100),
        part("Reached", "reached", "n"),
        number("P(reach)", "reach_probability", 2),
        interval("95% interval (Wilson)", "reach_probability", 2, 1),
        Column("Median steps", _median),
        number("Restricted mean (steps)", "restricted_time"),
        number("Training ends (steps)", "horizon"),
        number("Diverged", "diverged"),
    ]
    caption = (
        "Time to target, right-censored at the end of training; the restricted mean is of min(steps, end), over all "
        "networks"
    )
    kept = [*CELL, "activation", "target", "n", "reached", "reach_probability", "reach_probability_low"]
    kept += ["reach_probability_high", "median_time", "restricted_time", "horizon", "diverged"]
    return Table("table-times", caption, columns, frame, download("time_to_target", frame[kept]))


def _median(row: Row) -> Cell:
    if np.isinf(row["median_time"]):
        return Cell(f"> {row['horizon']:,}", float("inf"))
    return Cell(decimals(row["median_time"], 0), row["median_time"])
