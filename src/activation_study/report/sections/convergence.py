"""How fast: learning curves, and steps to the target with those that never reach it."""

from __future__ import annotations

import numpy as np

from activation_study.analysis.standing import CELL
from activation_study.core.numbers import decimals
from activation_study.report.blocks import Block, Figure, Paragraph, Section
from activation_study.report.figures.drawing import (
    Look,
    at_right,
    drawn,
    label_ends,
    lines,
    log_steps,
    mark,
    name_rows,
    panels,
    rows_high,
    short,
)
from activation_study.report.figures.theme import INK, MUTED, OTHERS, SERIES, looks
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
from activation_study.report.words import pictured, plain_list

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
    title = "Validation accuracy during training"
    message = (
        f"Mean over seeds with its 95% interval, each activation at its own learning rate; steps on a log scale. "
        f"Named: {plain_list(data.emphasised)}; grey: the others; dashed: the target. "
        + _curve_message(data)
        + pictured(data)
    )
    kept = [*CELL, "activation", "step", "n", "diverged", "validation_accuracy", "validation_accuracy_low"]
    kept += ["validation_accuracy_high", "validation_loss", "train_loss"]
    with panels(len(cells), columns, 2.3, share=False) as (figure, axes):
        for position, (axis, cell) in enumerate(zip(axes, cells, strict=True)):
            rows = in_cell(frame, cell)
            for name, style in styles.items():
                own = rows[rows["activation"] == name]
                bounds = (own[f"validation_accuracy_{end}"] * 100 for end in ("low", "high"))
                axis.fill_between(own["step"], *bounds, color=style.colour, alpha=0.2, linewidth=0)
            lines(axis, rows, "step", "percent", styles, "activation")
            target = in_cell(data.ranking, cell)["target"].iloc[0] * 100
            axis.axhline(target, color=MUTED, linewidth=0.8, linestyle="--")
            log_steps(axis, rows["step"].max(), "training step" if position >= len(cells) - columns else "")
            axis.set(title=short(cell_name(cell), 36), ylim=(0, 100))
            if position % columns == 0:
                axis.set_ylabel("validation accuracy (%)")
            last = rows.sort_values("step").groupby("activation").last()
            ends = {name: (last.loc[name, "step"], last.loc[name, "percent"]) for name in styles if name in last.index}
            label_ends(axis, {name: end for name, end in ends.items() if not np.isnan(end[1])}, styles)
        return drawn(figure, "curves", title, message, download("learning_curves", data.curves[kept], digits=5))


def _curve_message(data: StudyData) -> str:
    """Who gets there first, per cell."""
    fastest = []
    for cell in data.pictured:
        rows = in_cell(data.ranking, cell).sort_values(["restricted_time", "activation"])
        if rows["reached"].iloc[0]:
            fastest.append(f"{rows['activation'].iloc[0]} on {cell_name(cell)}")
    return f"Fastest to the target: {'; '.join(fastest)}." if fastest else "No activation reached a target."


def _times(data: StudyData) -> Figure:
    cells, names = data.pictured, data.order[::-1]
    places = {name: place for place, name in enumerate(names)}
    columns = 2 if len(cells) in (1, 2, 4) else 3
    never = data.ranking[data.ranking["reached"] == 0].groupby("activation").size()
    always = data.ranking[data.ranking["reached"] < data.ranking["n"]]["activation"].unique()
    sure = [name for name in data.order if name not in set(always)]
    title = "Steps to the target accuracy"
    message = (
        "One dot per network; a hollow triangle at the right end is a network that had not reached the target when "
        "training stopped; the count is how many did. Log scale. "
        + (
            f"Reached the target with every seed, in every panel in which it was trained: {plain_list(sure)}. "
            if sure
            else "No activation always reached the target. "
        )
        + (f"Never reached it in at least one panel: {plain_list(sorted(never.index))}." if len(never) else "")
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
            log_steps(axis, horizon, "training step" if position >= len(cells) - columns else "", floor)
            name_rows(axis, names, labelled=position % columns == 0)
            axis.set_title(short(cell_name(cell), 36))
        return drawn(figure, "times", title, message, download("times_to_target", replicas[shown]))


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
