"""How much an activation's score depends on the learning rate."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.ticker import FuncFormatter, NullLocator

from activation_study.analysis.standing import CELL
from activation_study.core.numbers import figures
from activation_study.report.blocks import Figure, Paragraph, Section, one_open
from activation_study.report.figures.drawing import Look, columns_for, drawn, panels, power_of_ten, short
from activation_study.report.figures.theme import INK, MUTED, emphasis
from activation_study.report.markup import slugs
from activation_study.report.study_data import StudyData
from activation_study.report.tables import Table, cell_columns, download, number, significant, text
from activation_study.report.words import counted, pictured

NAME, PART, PLACE = "Learning rates", "How good, how fast", 40
FOLDS = True
GOOD = 0.02
"""Accuracy within which a rate counts as good as the best: two points, as the text says."""


def section(data: StudyData) -> Section | None:
    if not len(data.rates):
        return None
    lead = (
        "Tuning seeds only: these runs chose the learning rate and are not part of the ranking. Rates that fell behind "
        "after a first stretch of training were stopped early, and those runs have no score here." + pictured(data)
    )
    drawn_rates = data.rates[data.rates["dataset"].isin([dataset for dataset, _, _ in data.pictured])]
    groups = {", ".join(filter(None, key)): rows for key, rows in drawn_rates.groupby(["dataset", "condition"])}
    ids = slugs(groups)
    figures_ = one_open(
        "rates", [(rows["dataset"].iloc[0], _figure(data, ids[name], name, rows)) for name, rows in groups.items()]
    )
    return Section("rates", "Learning rates", [Paragraph(lead), *figures_, _table(data)])


def _figure(data: StudyData, ident: str, where: str, rows: pd.DataFrame) -> Figure:
    names = [name for name in data.order if name in set(rows["activation"])]
    depths = sorted(rows["depth"].unique())[:5]
    styles = emphasis([str(depth) for depth in depths])
    widths = _good_rates(rows).groupby("activation")["good"].mean().reindex(names)
    title = f"Validation accuracy against learning rate, {where}"
    message = (
        "Mean over tuning seeds; learning rate on a log scale; ring: the selected rate; cross: networks diverged; "
        "bar at the bottom: stopped early. " + _sensitivity(widths)
    )
    columns = columns_for(len(names))
    kept = [*CELL, "activation", "learning_rate", "n", "diverged", "pruned", "selected", "edge", "validation_accuracy"]
    kept += ["validation_accuracy_low", "validation_accuracy_high", "area_under_loss"]
    held = download(f"learning_rates_{ident.replace('-', '_')}", rows[kept])
    with panels(len(names), columns, 1.5, share=True) as (figure, axes):
        axes[0].set(ylim=(0, 108), xscale="log")  # for all of them: they share their axes
        axes[0].xaxis.set_major_formatter(FuncFormatter(lambda value, _: power_of_ten(np.log10(value))))
        axes[0].xaxis.set_minor_locator(NullLocator())
        for axis, name in zip(axes, names, strict=True):
            for depth, style in zip(depths, styles.values(), strict=False):
                one = rows[(rows["activation"] == name) & (rows["depth"] == depth)].sort_values("learning_rate")
                known = one.dropna(subset=["validation_accuracy"])
                look: Look = {"color": style.colour, "linestyle": style.line, "linewidth": 1.2, "markersize": 3.5}
                at = known["learning_rate"], known["validation_accuracy"] * 100
                axis.plot(*at, marker=style.marker, label=f"{depth} layers", **look)
                stopped = one.loc[one["pruned"] > 0, "learning_rate"]
                if len(stopped):  # an empty line costs as much to lay out as a full one
                    axis.plot(stopped, [2.5] * len(stopped), "|", color=MUTED, markersize=5)
                chosen, blown = known[known["selected"].astype(bool)], known[known["diverged"] > 0]
                at = chosen["learning_rate"], chosen["validation_accuracy"] * 100
                axis.plot(*at, "o", color=INK, markerfacecolor="none", markersize=8, markeredgewidth=0.9)
                if len(blown):
                    at = blown["learning_rate"], blown["validation_accuracy"] * 100
                    axis.plot(*at, "x", color=INK, markersize=6, markeredgewidth=1)
            axis.set_title(short(name))
        for axis in axes[::columns]:
            axis.set_ylabel("accuracy (%)")
        figure.supxlabel("learning rate", color=MUTED)
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper left", ncols=5)
        return drawn(figure, f"rates-{ident}", title, message, held)


def _sensitivity(widths: pd.Series) -> str:
    """`widths`: mean number of rates within GOOD of the best, per activation."""
    if widths.max() == widths.min():
        return f"With every activation alike, {figures(widths.max())} of the rates come within two points of the best."
    return (
        f"Least sensitive: {widths.idxmax()}, with {figures(widths.max())} rates on average within two points of its "
        f"best; most sensitive: {widths.idxmin()}, with {figures(widths.min())}."
    )


def _good_rates(rates: pd.DataFrame) -> pd.DataFrame:
    """One row per run: the selected rate, and how many rates come within GOOD of the best."""
    best = rates.groupby("run")["validation_accuracy"].transform("max")
    rates = rates.assign(good=rates["validation_accuracy"] >= best - GOOD, chosen=rates["selected"].astype(bool))
    rates["chosen_rate"] = rates["learning_rate"].where(rates["chosen"])
    kept = {name: (name, "first") for name in (*CELL, "activation")}
    return rates.groupby("run", as_index=False).agg(
        **kept,
        learning_rate=("chosen_rate", "max"),
        best=("validation_accuracy", "max"),
        good=("good", "sum"),
        tried=("learning_rate", "nunique"),
        diverged=("diverged", "sum"),
        pruned=("pruned", "sum"),
        edge=("edge", "any"),
    )


def _table(data: StudyData) -> Table:
    frame = _good_rates(data.rates).drop(columns="run").sort_values([*CELL, "activation"], ignore_index=True)
    frame = frame.assign(on_edge=np.where(frame["edge"], "! yes", "no"))
    columns = [
        *cell_columns(frame),
        text("Activation", "activation", heads_row=True),
        significant("Selected rate", "learning_rate"),
        text("On the grid's edge", "on_edge"),
        number("Best validation accuracy (%)", "best", 1, 100),
        number(f"Rates within {counted(round(GOOD * 100), 'point')} of it", "good"),
        number("Rates tried", "tried"),
        number("Networks diverged", "diverged"),
        number("Networks stopped early", "pruned"),
    ]
    caption = "Learning rates tried and selected, on tuning seeds"
    data_ = download("selected_rates", frame.drop(columns="on_edge"))
    return Table("table-rates", caption, columns, frame, data_)
