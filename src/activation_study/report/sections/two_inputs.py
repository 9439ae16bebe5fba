"""Before training: how two inputs come to look alike on their way through the layers, by mean-field theory."""

from __future__ import annotations

import pandas as pd

from activation_study.activations.correlation import after
from activation_study.activations.finite_width import leaky_slope
from activation_study.core.numbers import decimals
from activation_study.report.blocks import Figure, Paragraph, Section
from activation_study.report.figures.drawing import colours_of, drawn, label_ends, mark, panels
from activation_study.report.figures.theme import looks
from activation_study.report.names import label
from activation_study.report.study_data import StudyData
from activation_study.report.tables import download

NAME, PART, PLACE = "Two inputs", "Why", 25
FOLDS = True
APART = 0.1
"""Difference of the negative slopes of those that are shown."""
MOST = 5


def section(data: StudyData) -> Section | None:
    slopes = _slopes(data)
    if not slopes:
        return None
    lead = (
        "A network can only tell two inputs apart while its layers do. Shown is the cosine of the angle between what "
        "two perpendicular inputs have become, in infinitely wide networks before training, with weights at the gain "
        "and no biases: 0 is perpendicular, 1 is the same direction."
    )
    return Section("two-inputs", "How long two inputs stay apart", [Paragraph(lead), _figure(data, slopes)])


def _slopes(data: StudyData) -> dict[str, float]:
    """The leaky ReLUs of the study by their slopes below zero, ascending, but those that are close to another;
    those of the ranking are chosen first."""
    constants, portraits = data.tables["activations"], data.tables["portraits"]
    fixed = constants.loc[~constants["stochastic"].astype(bool), "activation"]
    found = {
        str(name): leaky_slope(rows.sort_values("x")["x"], rows.sort_values("x")["value"])
        for name, rows in portraits[portraits["activation"].isin(fixed)].groupby("activation")
    }
    kept: dict[str, float] = {}
    wanted = {name: slope for name, slope in found.items() if slope is not None and 0 <= slope <= 1}
    places = {name: place for place, name in enumerate(data.order)}
    for name in sorted(
        wanted, key=lambda name: (name not in places, round(wanted[name], 6), places.get(name, 0), name)
    ):
        if all(abs(wanted[name] - other) >= APART for other in kept.values()) and len(kept) < MOST:
            kept[name] = wanted[name]
    return dict(sorted(kept.items(), key=lambda item: item[1]))


def _fractions(slopes: dict[str, float]) -> str:
    """Of slopes that their names round, what they are one over: "Leaky ReLU 0.18 has slope 1/5.5."."""
    said = ""
    for name, slope in slopes.items():
        if slope and abs(slope - round(slope, 2)) > 1e-6 and abs(slope * round(1 / slope, 1) - 1) < 1e-6:
            said += f" {name} has slope 1/{1 / slope:z.3g}."
    return said


def _figure(data: StudyData, slopes: dict[str, float]) -> Figure:
    depth = int(data.runs["depth"].max())
    rows = [
        {"activation": name, "slope": slope, "layers": layers, "cosine": after(layers, 0.0, slope)}
        for name, slope in slopes.items()
        for layers in range(depth + 1)
    ]
    frame, styles = pd.DataFrame(rows), looks(list(slopes))
    message = (
        "Leaky ReLUs of different slopes below zero. The steeper that slope, the longer inputs stay apart; "
        "a network without a bend keeps them so for ever." + _fractions(slopes)
    )
    with panels(1, 1, 3.6) as (figure, (axis,)):
        axis.set(xlim=(0, depth), ylim=(-0.02, 1.02), xlabel="layer", ylabel="cosine of two inputs")
        ends = {}
        for name, own in frame.groupby("activation", sort=False):
            look = styles[str(name)]
            told = mark(str(name), f"slope {decimals(slopes[str(name)], 2)}")
            axis.plot(own["layers"], own["cosine"], color=look.colour, linestyle=look.line, **told)
            ends[str(name)] = (depth, float(own["cosine"].iloc[-1]))
        label_ends(axis, ends, colours_of(styles))
        held = download("two_inputs", frame, digits=5)
        return drawn(figure, "two-inputs", _title(frame), message, held)


def _title(frame: pd.DataFrame) -> str:
    """From the activation whose inputs come closest; columns activation, layers and cosine."""
    most = frame.loc[frame["cosine"].idxmax()]
    if most["cosine"] < 0.1:
        return f"Perpendicular inputs stay apart through {most['layers']} layers"
    cosine = decimals(most["cosine"], 2)
    return f"After {most['layers']} layers of {label(most['activation'])}, perpendicular inputs have cosine {cosine}"
