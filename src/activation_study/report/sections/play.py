"""To play with: what a network is like before its first step, for a choice of activation, depth, width and weights."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from activation_study.activations import expressions, mean_field, notation, several_inputs
from activation_study.report.blocks import Data, Figure, Paragraph, Section
from activation_study.report.figures.drawing import drawn, mark, panels
from activation_study.report.figures.theme import looks
from activation_study.report.names import label
from activation_study.report.sections.decay import INITIALISATIONS
from activation_study.report.study_data import StudyData
from activation_study.report.tables import download
from activation_study.report.words import plain_list

NAME, PART, PLACE = "Try it", "Why", 15
GRID = np.linspace(-5, 5, 201)
"""Where the page's script looks at a function."""
FEW = 60
"""Ends and bends up to which these are all that the page holds of a graph."""
STARTS = ("gain", "torch_default", "edge_of_chaos")
SHOWN, DEPTH, WIDTH = ("relu", "tanh", "sigmoid"), 20, 64
"""What the page draws where no script runs."""
KEY = (
    "Lines: very wide networks. Left: size of the gradient against the last layer's, in powers of ten; shaded: half of "
    "the single networks of this width, where known (ReLU and leaky ones). Middle: share of units with slope 0 at all "
    f"of {several_inputs.INPUTS} inputs. Right: the correlation of any two inputs."
)
PANELS = {
    "gradient": ("Where the gradient goes", "powers of ten"),
    "dead": ("Units dead at birth", "share"),
    "correlation": ("How alike two inputs become", "correlation"),
}


def section(data: StudyData) -> Section | None:
    laws = _laws(data)
    if not laws:
        return None
    return Section(
        "play",
        "Try it: a network before its first step",
        [
            Paragraph(
                "Choose an activation, or type a formula: the page works out what a network of it does before it has "
                "learnt anything. Try twenty layers of sigmoid, then PyTorch's default weights, then a formula."
            ),
            _figure(data, [name for name in SHOWN if name in laws] or [*laws][:3]),
            Paragraph(
                "Theory for wide, plain networks whose inputs have mean square 1 and as many values as a layer has "
                "units. Not covered: batch normalisation, shortcuts, convolutions, training, and what few units change "
                "beyond the shaded band, which itself needs ten or more." + _left_out(data, laws),
                "note",
            ),
            Data("play-laws", {"laws": laws, "starts": _starts(), "key": KEY, "grammar": _grammar()}),
        ],
    )


def _laws(data: StudyData) -> dict[str, dict[str, Any]]:
    """Of every activation with a law: what it is called, how it looks, its points, and the constants that start it."""
    tables = data.few.tables
    portraits = {name: rows.sort_values("x") for name, rows in tables["portraits"].groupby("activation")}
    laws = {}
    for constants in tables["activations"].to_dict("records"):
        name = constants["activation"]
        if name not in portraits or mean_field.law(portraits[name], constants) is None:
            continue
        look = looks([name])[name]
        laws[name] = {
            "label": label(name),
            "colour": look.colour,
            "dash": " ".join(map(str, look.dashes)),
            "points": _points(portraits[name], constants),
            "gain": constants["gain"],
            "edge": None if pd.isna(constants["sigma_w2"]) else [constants["sigma_w2"], constants["sigma_b2"]],
        }
        if constants["stochastic"]:
            second = constants["gain"] ** -2.0
            laws[name]["random"] = [second, constants["chi"] * second]
    return laws


def _points(portrait: pd.DataFrame, constants: Mapping[str, Any]) -> str:
    """Its ends and bends as text, x and y; where these are many, its values on the grid as float32 in base64."""
    x, y = several_inputs.graph(portrait, constants)
    if len(x) > FEW:
        return base64.b64encode(np.interp(GRID, x, y).astype("<f4").tobytes()).decode()
    return ",".join(f"{a:z.8g} {b:z.8g}" for a, b in zip(x, y, strict=True))


def _starts() -> list[tuple[str, str]]:
    return [(name, INITIALISATIONS[name]) for name in STARTS]


def _grammar() -> dict[str, Any]:
    """What a formula may hold, and what is said of what it may not."""
    return {
        "length": expressions.MAX_LENGTH,
        "depth": expressions.MAX_DEPTH,
        "exponent": expressions.MAX_EXPONENT,
        "constants": expressions.CONSTANTS,
        "functions": {name: count for name, (_, count) in expressions.FUNCTIONS.items()} | expressions.SPECIAL,
        "aliases": notation.ALIASES,
        "prefixes": sorted(notation.PREFIXES),
        "together": sorted(notation.NOT_ELEMENTWISE),
        "random": sorted(notation.RANDOM),
        "instead": notation.INSTEAD,
    }


def _left_out(data: StudyData, laws: Mapping[str, Any]) -> str:
    missing = [name for name in data.few.tables["activations"]["activation"] if name not in laws]
    return f" Nor is {plain_list(missing)}, for which there is no law." if missing else ""


def _figure(data: StudyData, names: list[str]) -> Figure:
    tables = data.few.tables
    constants = tables["activations"].set_index("activation")
    begun = []
    for name in names:
        graph = tables["portraits"].query("activation == @name").sort_values("x")
        rows = several_inputs.beginnings(graph, constants.loc[name], DEPTH, WIDTH, "gain")
        assert rows is not None  # as of all that have a law
        begun.append(rows.assign(activation=name))
    rows = pd.concat(begun)
    title = "A network before its first step"
    message = f"{KEY} Here {plain_list(names)}, {DEPTH} layers of {WIDTH} units at unit gain, from unrelated inputs."
    with panels(len(PANELS), len(PANELS), 2.5, share=False) as (figure, axes):
        for axis, (column, (said, unit)) in zip(axes, PANELS.items(), strict=True):
            for name, look in looks(names).items():
                own = rows[rows["activation"] == name]
                if column == "gradient":
                    axis.fill_between(own["layer"], own["low"], own["high"], color=look.colour, alpha=0.18, linewidth=0)
                style: dict[str, Any] = {"color": look.colour, "linestyle": look.line, "clip_on": False}
                axis.plot(own["layer"], own[column], **style, **mark(name))
                if column == "correlation":
                    axis.plot([], [], **style, label=label(name))
            axis.set(
                title=said, ylabel=unit, xlabel="layer, from input to output", xlim=(1, DEPTH), xticks=[1, 10, DEPTH]
            )
            axis.locator_params(axis="y", nbins=4)
            axis.grid(visible=False)
            axis.xaxis.set_ticks_position("none")
            axis.yaxis.set_ticks_position("none")
        figure.legend(loc="outside upper left", ncols=len(names))
        return drawn(figure, "play", title, message, download("play", rows, digits=4))
