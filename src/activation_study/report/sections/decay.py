"""Before training: what mean-field theory says of the gradients, and what they are."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D

from activation_study.core.numbers import decimals
from activation_study.report.blocks import Block, Figure, Paragraph, Section
from activation_study.report.figures.drawing import Look, drawn, label_points, panels, short
from activation_study.report.figures.theme import MUTED, emphasis
from activation_study.report.study_data import StudyData
from activation_study.report.tables import Table, download, number, text
from activation_study.report.words import plain_list

NAME, PART, PLACE = "Theory of gradients", "Why", 20
FOLDS = True
SHOWS = ("initialisation.gradient_decay", "plain_sgd.gradient_decay")
INITIALISATIONS = {
    "gain": "unit gain",
    "torch_default": "torch default",
    "edge_of_chaos": "edge of chaos",
    "lsuv": "unit variance (LSUV)",
}
CLOSE = 0.02
"""Decades per layer within which measurement and theory are said to agree."""
ENLARGED = 0.1
"""Predicted decades per layer below which the points are drawn again, enlarged."""
MOST_NAMES = 8
QUARTILES = ("measured_q25", "measured_q75", "single_q25", "single_q75")
KIND = ["initialisation", "activation", "depth"]


def section(data: StudyData) -> Section | None:
    decay = data.decay[data.decay["measured"].notna()]
    if decay["predicted"].notna().sum() == 0:
        return None
    kinds = _kinds(decay)
    blocks: list[Block] = [
        Paragraph(
            "Before the first step, theory for networks of infinite width predicts the gradient's size from the "
            "activation, the depth and the variance of the weights alone (unit gain: the variance that keeps q at 1): "
            "from one layer to the one below, its square is multiplied by χ(q) = σ_w² E φ′(√q z)², where q is the "
            f"layer's mean squared pre-activation. The networks here are {_widths(data)} units wide, so that single "
            "networks scatter about the prediction, the more the deeper they are, and q drifts from its predicted "
            "course where it is not held there."
        ),
        _identity(decay, kinds),
    ]
    layers = _by_layer(decay)
    if len(layers):
        blocks.append(_layers(layers))
    return Section("decay", "Gradients before training: theory and measurement", [*blocks, _table(kinds)])


def _widths(data: StudyData) -> str:
    return plain_list([f"{width:,}" for width in sorted(data.runs["width"].unique())])


def _kinds(decay: pd.DataFrame) -> pd.DataFrame:
    """The whole network's decay per kind: means of the datasets' medians, in decades and in decades per layer."""
    first = decay[decay["layer"] == 1]
    kinds = first.groupby(KIND, as_index=False).agg(
        datasets=("dataset", "nunique"),
        n=("n", "sum"),
        zeros=("zeros", "sum"),
        measured=("measured", "mean"),
        predicted=("predicted", "mean"),
    )
    steps = kinds["depth"] - 1
    return kinds.assign(
        measured_per_layer=kinds["measured"] / steps,
        predicted_per_layer=kinds["predicted"] / steps,
        ratio=10 ** ((kinds["measured"] - kinds["predicted"]) / steps),
    )


def _identity(decay: pd.DataFrame, kinds: pd.DataFrame) -> Figure:
    known = kinds.dropna(subset=["predicted"])
    shown = [name for name in INITIALISATIONS if name in set(known["initialisation"])]
    depths = sorted(known["depth"].unique())[:5]
    styles = emphasis([str(depth) for depth in depths])
    gap = (known["measured_per_layer"] - known["predicted_per_layer"]).abs()
    worst = known.loc[gap.idxmax()]
    title = "Gradient decay per layer before training: predicted and measured"
    message = (
        "Decades that the gradient's norm changes by per layer towards the input, negative where it shrinks; means "
        "over datasets of the medians over seeds. On the line theory and measurement agree: "
        f"{int((gap <= CLOSE).sum())} of {len(known)} points lie within {CLOSE} of it. Furthest from it: "
        f"{worst['activation']} at {worst['depth']} layers, {decimals(worst['measured_per_layer'], 3, signed=True)} "
        f"measured against {decimals(worst['predicted_per_layer'], 3, signed=True)}."
    )
    near = known[(known["initialisation"] == "gain") & (known["predicted_per_layer"].abs() < ENLARGED)]
    parts = [(INITIALISATIONS[name], known[known["initialisation"] == name]) for name in shown]
    parts[1:1] = [(f"{INITIALISATIONS['gain']}, enlarged", near)] if "gain" in shown and len(near) else []
    everywhere = _range(known)
    with panels(len(parts), 2, 2.9, share=False) as (figure, axes):
        for axis, (name, rows) in zip(axes, parts, strict=True):
            ends = _range(near) if rows is near else everywhere
            axis.plot(ends, ends, color=MUTED, linewidth=0.8)
            for depth, style in zip(depths, styles.values(), strict=False):
                at = rows[rows["depth"] == depth]
                look: Look = {"color": style.colour, "markersize": 5, "alpha": 0.85}
                axis.plot(at["predicted_per_layer"], at["measured_per_layer"], style.marker, **look)
            axis.set(title=name, xlim=ends, ylim=ends)
            label_points(axis, _named(rows, everywhere if rows is not near else ends))
        for axis in axes[::2]:
            axis.set_ylabel("measured")
        figure.supxlabel("predicted (decades per layer)", color=MUTED)
        handles = [Line2D([], [], color=style.colour, marker=style.marker, linestyle="") for style in styles.values()]
        names = [f"{depth} layers" for depth in depths]
        figure.legend(handles, names, loc="outside upper left", ncols=5)
        return drawn(figure, "decay", title, message, download("gradient_decay", decay, digits=5))


def _range(kinds: pd.DataFrame) -> tuple[float, float]:
    ends = kinds[["measured_per_layer", "predicted_per_layer"]].to_numpy()
    margin = 0.12 * max(np.ptp(ends), 0.01)
    return ends.min() - margin, ends.max() + margin


def _named(kinds: pd.DataFrame, ends: tuple[float, float]) -> dict[str, tuple[float, float]]:
    """The points that get a name: each activation's deepest, but for those that lie on top of each other at zero.

    Of many only those that are furthest from the line.
    """
    deepest = kinds.sort_values("depth").groupby("activation").last()
    points = deepest[["predicted_per_layer", "measured_per_layer"]]
    apart = points.abs().max(axis=1) > 0.02 * (ends[1] - ends[0])
    points = points[apart | (len(points) < 6)]
    far = points.diff(axis=1).iloc[:, 1].abs().sort_values(ascending=False, kind="stable").index[:MOST_NAMES]
    return {name: tuple(points.loc[name]) for name in sorted(far)}


def _by_layer(decay: pd.DataFrame) -> pd.DataFrame:
    """The deepest kinds that were begun in more than one way, layer by layer: means over datasets."""
    several = decay.groupby(["activation", "depth"])["initialisation"].transform("nunique") > 1
    compared = decay[several]
    compared = compared[compared["depth"] == compared["depth"].max()]
    return compared.groupby([*KIND, "layer"], as_index=False).agg(
        n=("n", "sum"),
        zeros=("zeros", "sum"),
        **{name: (name, "mean") for name in ("measured", "predicted", *QUARTILES)},
    )


def _layers(layers: pd.DataFrame) -> Figure:
    names = layers["activation"].drop_duplicates().tolist()
    shown = [name for name in INITIALISATIONS if name in set(layers["initialisation"])]
    styles = emphasis(shown)
    first = layers[layers["layer"] == 1]
    most = first.loc[first["measured"].idxmin()]
    held = first.loc[first.groupby("activation")["measured"].apply(lambda decades: decades.abs().idxmin())]
    title = f"Where the gradient goes, by initialisation, {layers['depth'].iloc[0]} layers"
    message = (
        "Size of the gradient against the last hidden layer's, in powers of ten, from the output back to the input. "
        "Marks: measured, with a bar from quartile to quartile of the networks; lines: predicted. Shaded: where half "
        "of the single networks lie by the law for finite width, which holds for leaky ReLUs at their gain. Best kept: "
        + "; ".join(
            f"{plain_list(group['activation'].tolist())} by {INITIALISATIONS[key]}"
            for key, group in held.groupby("initialisation", sort=False)
        )
        + f". Least is left with {most['activation']} under {INITIALISATIONS[most['initialisation']]}: "
        f"{decimals(most['measured'])} decades. An activation without an edge of chaos is given its unit gain."
    )
    with panels(len(names), min(len(names), 4), 2.4) as (figure, axes):
        for axis, name in zip(axes, names, strict=True):
            for initialisation, style in styles.items():
                rows = layers[(layers["activation"] == name) & (layers["initialisation"] == initialisation)]
                axis.plot(rows["layer"], rows["predicted"], color=style.colour, linewidth=1.1, linestyle=style.line)
                axis.plot(rows["layer"], rows["measured"], style.marker, color=style.colour, markersize=3)
                single, seen = ((rows[f"{of}_{end}"] for end in ("q25", "q75")) for of in ("single", "measured"))
                axis.fill_between(rows["layer"], *single, color=style.colour, alpha=0.18, linewidth=0)
                axis.vlines(rows["layer"], *seen, color=style.colour, linewidth=0.6)
            axis.set(title=short(name), xlim=(layers["depth"].iloc[0] + 0.5, 0.5), xlabel="layer")
        handles = [Line2D([], [], color=s.colour, marker=s.marker, linestyle=s.line) for s in styles.values()]
        said = [INITIALISATIONS[key] for key in styles]
        figure.legend(handles, said, loc="outside upper left", ncols=5)
        axes[0].set_ylabel("decades, against the last layer")
        return drawn(figure, "decay-layers", title, message, download("gradient_decay_by_layer", layers, digits=5))


def _table(kinds: pd.DataFrame) -> Table:
    frame = kinds.assign(how=kinds["initialisation"].map(lambda name: INITIALISATIONS.get(name, name)))
    frame = frame.sort_values(["depth", "initialisation", "measured"], ignore_index=True)
    columns = [
        text("Initialisation", "how"),
        number("Layers", "depth"),
        text("Activation", "activation", heads_row=True),
        number("Measured, first layer against last (decades)", "measured", 2, signed=True),
        number("Predicted (decades)", "predicted", 2, signed=True),
        number("Measured (decades per layer)", "measured_per_layer", 3, signed=True),
        number("Predicted (decades per layer)", "predicted_per_layer", 3, signed=True),
        number("Measured over predicted, per layer", "ratio", 3),
        number("Networks", "n"),
        number("Exact zeros", "zeros"),
    ]
    caption = "Gradient decay before training, measured and predicted; means over datasets of the medians over seeds"
    data = download("gradient_decay_ratios", frame.drop(columns="how").replace([np.inf, -np.inf], np.nan))
    return Table("table-decay", caption, columns, frame, data)
