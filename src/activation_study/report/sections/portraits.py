"""The activations themselves: graph, derivative, constants."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from textwrap import fill

import pandas as pd
from markupsafe import Markup
from matplotlib.axes import Axes

from activation_study.core.numbers import figures
from activation_study.report.blocks import Figure, Paragraph, Section
from activation_study.report.figures.drawing import columns_for, drawn, mark, panels
from activation_study.report.figures.theme import MUTED, SERIES
from activation_study.report.names import label
from activation_study.report.sections.profiles import identifiers
from activation_study.report.study_data import StudyData
from activation_study.report.tables import Cell, Column, Row, Table, download, flag, significant, text
from activation_study.report.words import counted, drawn_of, plain_list

NAME, PART, PLACE = "The activations", "To look up", 10
RANGE, BOTTOM, TOP = 4, -2, 4
LONG = 24
"""Letters that fit across a panel."""


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
    constants = data.tables["activations"].set_index("activation")
    groups = families(names, constants["definition"])
    title = f"{counted(len(names), 'activation').capitalize()}: value (solid) and slope (dashed)"
    message = (
        f"Over pre-activations from −{RANGE} to {RANGE}, in evaluation mode, those of the ranking first; with the gain "
        "that keeps the second moment of standard normal input, and χ there. Activations that differ in a number "
        f"alone share a panel, highest at −{RANGE} first. " + _slopes(portraits) + drawn_of(data)
    )
    with panels(len(groups), columns_for(len(groups)), 1.45, share=True) as (figure, axes):
        for axis, group in zip(axes, groups, strict=True):
            draw(axis, portraits[portraits["activation"].isin(group)])
            if len(group) > 1:
                ends = portraits[portraits["activation"].isin(group)].groupby("activation")["value"].first()
                shared, said = _parted([label(name) for name in ends.sort_values(ascending=False).index.astype(str)])
            else:
                own = constants.loc[group[0]] if group[0] in constants.index else None
                shared = label(group[0])
                said = "" if own is None else f"gain {figures(own['gain'])}, χ {figures(own['chi'])}"
            axis.set_title(shared if len(shared) <= LONG else shared[: LONG - 1] + "…")
            axis.text(0.03, 0.95, fill(said, LONG), transform=axis.transAxes, va="top", color=MUTED)
        return drawn(figure, "portraits", title, message, download("portraits", portraits))


def families(names: Sequence[str], definitions: pd.Series) -> list[list[str]]:
    """The names in their order, those of one torch class with other arguments together; definitions by name."""
    groups: dict[str, list[str]] = {}
    for name in names:
        family, bracket, _ = str(definitions.get(name, "")).partition("(")
        groups.setdefault(family if bracket and family.isidentifier() and family[0].isupper() else name, []).append(
            name
        )
    return list(groups.values())


def _parted(names: Sequence[str]) -> tuple[str, str]:
    """What the names begin with, and the rest of each; whole names where they have no word in common."""
    words = zip(*(name.split() for name in names), strict=False)
    shared = " ".join(some[0] for some in takewhile(lambda some: len(set(some)) == 1, words))
    return shared or names[0], ", ".join(name.removeprefix(shared).strip() or name for name in names)


def _slopes(portraits: pd.DataFrame) -> str:
    """Who is steep, who is flat, and who has no slope below zero."""
    steepest = portraits["derivative"].abs().groupby(portraits["activation"], sort=False).max()
    below = portraits[portraits["x"] < 0]
    flat = (below["derivative"] == 0).groupby(below["activation"], sort=False).all()
    said = f"Steepest: {steepest.idxmax()}, slope {figures(steepest.max())}; "
    said += f"flattest at its steepest: {steepest.idxmin()}, {figures(steepest.min())}. "
    return said + f"No slope at all below zero: {plain_list(flat.index[flat].tolist()) or 'none'}."


def draw(axis: Axes, portraits: pd.DataFrame) -> None:
    """Value (solid) and derivative (dashed) of each activation."""
    axis.axhline(0, color=MUTED, linewidth=0.6)
    axis.axvline(0, color=MUTED, linewidth=0.6)
    thin = 1 if portraits["activation"].nunique() == 1 else 0.6
    for name, own in portraits.groupby("activation", sort=False):
        told = mark(str(name))
        axis.plot(own["x"], own["value"], color=SERIES[0], linewidth=1.8 * thin, **told)
        axis.plot(own["x"], own["derivative"], color=SERIES[1], linewidth=1.3 * thin, linestyle=(0, (3, 1.5)), **told)
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
