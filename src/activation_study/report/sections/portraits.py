"""The activations themselves: graph, derivative, constants."""

from __future__ import annotations

import pandas as pd
from markupsafe import Markup
from matplotlib.axes import Axes

from activation_study.core.numbers import figures
from activation_study.report.blocks import Figure, Paragraph, Section
from activation_study.report.figures.drawing import columns_for, drawn, panels, short
from activation_study.report.figures.theme import MUTED, SERIES
from activation_study.report.names import label
from activation_study.report.sections.profiles import identifiers
from activation_study.report.study_data import StudyData
from activation_study.report.tables import Cell, Column, Row, Table, download, flag, significant, text
from activation_study.report.words import counted, drawn_of, plain_list

NAME, PART, PLACE = "The activations", "To look up", 10
RANGE, BOTTOM, TOP = 4, -2, 4


def section(data: StudyData) -> Section | None:
    constants = data.tables["activations"]
    if not len(constants):
        return None
    shown = [_figure(data)] if len(data.tables["portraits"]) else []
    links = Markup(" · ").join(
        Markup('<a href="#{}">{}</a>').format(one, label(name)) for name, one in identifiers(data).items()
    )
    lead = Markup("All that the study knows of one: {}.").format(links)
    return Section("activations", "The activations", [Paragraph(lead), *shown, _table(constants)])


def _figure(data: StudyData) -> Figure:
    portraits = data.few.tables["portraits"]
    there = portraits["activation"].drop_duplicates().tolist()
    names = [*(name for name in data.order if name in there), *(name for name in there if name not in data.order)]
    title = f"{counted(len(names), 'activation').capitalize()}: value (solid) and slope (dashed)"
    constants = data.tables["activations"].set_index("activation")
    message = (
        f"Over pre-activations from −{RANGE} to {RANGE}, in evaluation mode, those of the ranking first; with the gain "
        "that keeps the second moment of standard normal input, and χ there. " + _slopes(portraits) + drawn_of(data)
    )
    with panels(len(names), columns_for(len(names)), 1.45, share=True) as (figure, axes):
        for axis, name in zip(axes, names, strict=True):
            draw(axis, portraits[portraits["activation"] == name])
            axis.set_title(short(name))
            if name in constants.index:
                own = constants.loc[name]
                said = f"gain {figures(own['gain'])}, χ {figures(own['chi'])}"
                axis.text(0.03, 0.95, said, transform=axis.transAxes, va="top", fontsize=7.5, color=MUTED)
        return drawn(figure, "portraits", title, message, download("portraits", portraits))


def _slopes(portraits: pd.DataFrame) -> str:
    """Who is steep, who is flat, and who has no slope below zero."""
    steepest = portraits["derivative"].abs().groupby(portraits["activation"], sort=False).max()
    below = portraits[portraits["x"] < 0]
    flat = (below["derivative"] == 0).groupby(below["activation"], sort=False).all()
    said = f"Steepest: {steepest.idxmax()}, slope {figures(steepest.max())}; "
    said += f"flattest at its steepest: {steepest.idxmin()}, {figures(steepest.min())}. "
    return said + f"No slope at all below zero: {plain_list(flat.index[flat].tolist()) or 'none'}."


def draw(axis: Axes, portrait: pd.DataFrame) -> None:
    """One activation's value (solid) and derivative (dashed)."""
    axis.axhline(0, color=MUTED, linewidth=0.6)
    axis.axvline(0, color=MUTED, linewidth=0.6)
    axis.plot(portrait["x"], portrait["value"], color=SERIES[0], linewidth=1.8)
    axis.plot(portrait["x"], portrait["derivative"], color=SERIES[1], linewidth=1.3, linestyle=(0, (3, 1.5)))
    axis.set(xlim=(-RANGE, RANGE), ylim=(BOTTOM, TOP), xticks=[-4, -2, 0, 2, 4], yticks=[-2, 0, 2, 4])


def _in_config(row: Row) -> Cell:
    return Cell(Markup("<code>{}</code>").format(row["activation"]))


def _table(constants: pd.DataFrame) -> Table:
    columns = [
        text("Activation", "activation", heads_row=True),
        Column("In the config", _in_config, numeric=False),
        text("Definition", "definition"),
        significant("Mean output", "mean"),
        significant("Gain", "gain", 4),
        significant("χ at that gain", "chi"),
        significant("Steepest slope", "slope_max"),
        significant("Edge of chaos: weight variance", "sigma_w2", 4),
        significant("Edge of chaos: bias variance", "sigma_b2"),
        flag("Learns", "learnable"),
        flag("Random in training", "stochastic"),
    ]
    caption = (
        "Constants for standard normal pre-activations: χ is the growth per layer of the squared gradient in a wide "
        "network; – where there is no edge of chaos"
    )
    return Table("table-activations", caption, columns, constants, download("activations", constants))
