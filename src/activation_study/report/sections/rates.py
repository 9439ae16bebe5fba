"""How much an activation's score depends on the learning rate."""

from __future__ import annotations

import numpy as np
import pandas as pd

from activation_study.analysis.inference import CHANCE_MARGIN
from activation_study.analysis.standing import CELL
from activation_study.core.numbers import figures
from activation_study.report.blocks import Figure, Paragraph, Section, one_open
from activation_study.report.figures.drawing import drawn, name_rows, panels, rows_high
from activation_study.report.figures.heat import heat, key
from activation_study.report.figures.theme import HOT, INK, MUTED
from activation_study.report.markup import slugs
from activation_study.report.study_data import StudyData
from activation_study.report.tables import Table, cell_columns, download, number, significant, text
from activation_study.report.words import counted, fitting, pictured, plain_list

NAME, PART, PLACE = "Learning rates", "How good, how fast", 40
FOLDS = True
GOOD = 0.02
"""Accuracy within which a rate counts as good as the best: two points, as the text says."""
EDGES = (0.005, GOOD, 0.05, 0.2)
CLASSES = (("", "below half a point"), (HOT[0], "below 2"), (HOT[1], "below 5"), (HOT[2], "below 20"), (HOT[3], "more"))


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
    """A panel per depth, a row per activation, a column per rate: points of accuracy lost to the row's best."""
    depths = sorted(rows["depth"].unique())[:5]
    rates = sorted(rows["learning_rate"].unique())
    names = [name for name in data.order[::-1] if name in set(rows["activation"])]
    widths = _widths(rows, data.runs).reindex(names[::-1]).dropna()
    message = (
        "Points of validation accuracy lost to the activation's best rate, mean over tuning seeds. Ring: the selected "
        "rate; cross: networks diverged. "
        + _sensitivity(widths, int(rows.groupby("run")["validation_accuracy"].count().max()))
    )
    kept = [*CELL, "activation", "learning_rate", "n", "diverged", "pruned", "selected", "edge", "validation_accuracy"]
    kept += ["validation_accuracy_low", "validation_accuracy_high", "area_under_loss"]
    held = download(f"learning_rates_{ident.replace('-', '_')}", rows[kept])
    with panels(len(depths), len(depths), 0.2 + rows_high(len(names), keyed=True), share=False) as (figure, axes):
        for axis, depth in zip(axes, depths, strict=True):
            own = rows[rows["depth"] == depth]
            score = own.pivot(index="activation", columns="learning_rate", values="validation_accuracy")
            score = score.reindex(index=names, columns=rates).astype(float)
            ran = score.notna().any(axis=1)
            lost = -score.sub(score.max(axis=1), axis=0)
            heat(axis, lost.where(ran, -1.0, axis=0).to_numpy(), EDGES, CLASSES)
            for place in np.flatnonzero(~ran).tolist():
                axis.text((len(rates) - 1) / 2, place, "not run", ha="center", va="center", color=MUTED)
            for shape, chosen in (("o", own["selected"].astype(bool)), ("x", own["diverged"] > 0)):
                at = own.loc[chosen, ["activation", "learning_rate"]]
                x, y = [rates.index(rate) for rate in at["learning_rate"]], [names.index(n) for n in at["activation"]]
                axis.plot(x, y, shape, color=INK, markerfacecolor="none", markersize=6, markeredgewidth=1)
            name_rows(axis, names, labelled=axis is axes[0])
            shown = range(0, len(rates), max(1, -(-len(rates) * len(depths) // 12)))
            axis.set_xticks(shown, [f"{rates[place]:zg}" for place in shown])
            axis.set(xlim=(-0.5, len(rates) - 0.5), title=f"{depth} layers")
            axis.grid(visible=False)
        figure.supxlabel("learning rate", color=MUTED)
        key(figure, CLASSES, "stopped early")
        return drawn(figure, f"rates-{ident}", _title(widths, where), message, held)


def _title(widths: pd.Series, where: str) -> str:
    """From the mean number of good rates by activation."""
    fewest = widths.index[widths == widths.min()]
    if widths.empty or widths.max() - widths.min() < 1:  # not a single rate apart
        return f"On {where} no activation is more particular about its learning rate"
    return fitting(
        f"Most particular about the learning rate on {where}: {plain_list(fewest)}",
        "Some activations are particular about their learning rate",
    )


def _widths(rates: pd.DataFrame, runs: pd.DataFrame) -> pd.Series:
    """Mean number of rates within GOOD of the best by activation, of those that learn, over the depths that all have.

    At chance every rate is as good as the best.
    """
    found = _good_rates(rates)
    everywhere = found.groupby("depth")["activation"].transform("nunique") == found["activation"].nunique()
    found = found[everywhere | ~everywhere.any()]
    learns = found["best"] > found["run"].map(1 / runs.groupby("run")["classes"].first()) + CHANCE_MARGIN
    return found.groupby("activation")["good"].mean()[learns.groupby(found["activation"]).all()]


def _sensitivity(widths: pd.Series, trained: int) -> str:
    """`widths`: as `_widths` gives them; trained: so many rates of a run were trained to the end, at most."""
    if widths.empty:
        return "No activation learns at every depth."
    said = f"Of at most {trained} rates that were trained to the end, those within two points of the best"
    if widths.max() == widths.min():
        return f"{said} are {figures(widths.max())} with every activation."
    least, most = (widths.index[widths == end] for end in (widths.min(), widths.max()))
    return (
        f"{said}, on average: {figures(widths.min())} with {plain_list(least)}, {figures(widths.max())} with "
        f"{plain_list(most)}."
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
