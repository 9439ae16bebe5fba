"""Where the pre-activations lie, layer by layer, before and after training and on the way."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from activation_study.activations.self_normalising import is_selu
from activation_study.analysis.experiments import preactivation_bands
from activation_study.core.numbers import decimals
from activation_study.report.blocks import Block, Figure, Paragraph, Section
from activation_study.report.figures.drawing import columns_for, drawn, panels, short
from activation_study.report.figures.theme import INK, MUTED, SERIES
from activation_study.report.names import label
from activation_study.report.study_data import StudyData
from activation_study.report.tables import Table, download, number, seed_columns, text
from activation_study.report.words import fitting, plain_list

NAME, PART, PLACE = "Pre-activations", "Why", 50
FOLDS = True
SHOWS = ("core.scale_drift",)
BANDS = ["q05", "q50", "q95", "mean", "sd"]
NORMAL_95 = 1.645
"""Below which 95% of a standard normal variable lies."""
FAR = 10
"""Where the axes end: what lies beyond is saturated for every activation that saturates."""


def section(data: StudyData) -> Section | None:
    bands = preactivation_bands(data.of_core("layers"), data.runs)
    if bands["q50"].notna().sum() == 0:
        return None
    depth = max(depth for _, depth, _ in data.common)
    deep = bands[bands["depth"] == depth]
    lead = (
        "A layer's pre-activations are what its activation function is given. Shown are the 5%, 50% and 95% quantiles "
        "over a layer's units and samples: the median over seeds, averaged over datasets. A band that widens with the "
        "layers or over training says that the scale is not held; one off zero, that the layer is not centred."
    )
    blocks: list[Block] = [Paragraph(lead)]
    if len(deep):
        blocks += [_by_layer(data, deep, depth), _over_time(data, deep, depth)]
    return Section("preactivations", "What reaches the activations", [*blocks, _table(data, bands)])


def _ends(bands: pd.DataFrame) -> pd.DataFrame:
    """Rows of the first and the last look of every run."""
    first, last = (bands.groupby("run")["step"].transform(end) for end in ("min", "max"))
    ends = bands[(bands["step"] == first) | (bands["step"] == last)]
    return ends.assign(when=np.where(ends["step"] == first[ends.index], "start", "end"))


def _by_layer(data: StudyData, deep: pd.DataFrame, depth: int) -> Figure:
    by_layer = (
        _ends(deep)
        .groupby(["activation", "when", "layer"], as_index=False)
        .agg(**{band: (band, "mean") for band in BANDS}, n=("n", "sum"), diverged=("diverged", "sum"))
    )
    spread = by_layer.groupby(["activation", "when"])["sd"].mean().unstack("when")
    growth = (spread["end"] / spread["start"]).sort_values(ascending=False, kind="stable")
    names = growth.index.tolist()
    message = (
        "From the input at the left to the output: the 5% to 95% range of the pre-activations, with the median as a "
        "line, at the end of training; dashed: the same range before it. In each panel: how much wider the standard "
        f"deviation becomes, mean over layers; most first. The axis ends at ±{FAR}."
    )
    fixed = _at_a_fixed_point(data, names)
    if fixed:
        message += (
            f" Dotted, with {plain_list(fixed)}: ±{NORMAL_95:.2f}, where the range stays by SELU's fixed point of mean "
            "0 and variance 1, towards which every layer draws it."
        )
    with panels(len(names), columns_for(len(names)), 1.45) as (figure, axes):
        for axis, name in zip(axes, names, strict=True):
            start, end = (
                by_layer[(by_layer["activation"] == name) & (by_layer["when"] == when)] for when in ("start", "end")
            )
            _band(axis, end["layer"], end, SERIES[0])
            for bound in ("q05", "q95"):
                axis.plot(start["layer"], start[bound], color=INK, linewidth=0.9, linestyle=(0, (3, 1.5)))
            for level in (-NORMAL_95, NORMAL_95) if name in fixed else ():
                axis.axhline(level, color=SERIES[1], linewidth=0.9, linestyle=":")
            axis.set_title(short(name))
            axis.text(0.03, 0.96, f"× {decimals(growth[name])}", transform=axis.transAxes, va="top")
        axes[0].set(ylim=_limits(by_layer), xlim=(1, depth))
        figure.supxlabel("layer", color=MUTED)
        figure.supylabel("pre-activation", color=MUTED)
        return drawn(
            figure, "preactivations", _widens(growth), message, download("preactivations_by_layer", by_layer, 5)
        )


def _widens(growth: pd.Series) -> str:
    """Title from how much wider training makes the pre-activations, by activation."""
    known = growth.dropna()
    if known.empty or known.max() < 1.1:
        return "Training widens no activation's pre-activations much"
    return f"Training widens pre-activations most with {label(str(known.idxmax()))}: {decimals(known.max())} times"


def _at_a_fixed_point(data: StudyData, names: Sequence[str]) -> list[str]:
    """Those that are SELU, where all networks begin with weights of variance 1/fan-in, which is its gain."""
    if set(data.runs["initialisation"]) != {"gain"}:
        return []
    portraits = {str(name): rows for name, rows in data.tables["portraits"].groupby("activation")}
    return [name for name in names if name in portraits and is_selu(portraits[name]["x"], portraits[name]["value"])]


def _over_time(data: StudyData, deep: pd.DataFrame, depth: int) -> Figure:
    """The last hidden layer of the emphasised activations, a panel each."""
    names = [name for name in data.emphasised if name in set(deep["activation"])]
    rows = deep[(deep["layer"] == depth) & deep["activation"].isin(names)]
    rows = rows.groupby(["activation", "layer", "step"], as_index=False).agg(
        **{band: (band, "mean") for band in BANDS}, n=("n", "sum"), diverged=("diverged", "sum")
    )
    last = rows[rows["step"] == rows.groupby("activation")["step"].transform("max")]
    widest = last.loc[(last["q95"] - last["q05"]).idxmax()]
    title = fitting(
        f"Of these, layer {depth} spreads furthest with {label(widest['activation'])}",
        f"How the pre-activations of layer {depth} spread",
    )
    message = (
        f"The 5% to 95% range and the median of the pre-activations of layer {depth}; steps from left to right on a "
        f"log scale, step 0 first. Widest of these at the end: {widest['activation']}, from "
        f"{decimals(widest['q05'])} to {decimals(widest['q95'])}. The axis ends at ±{FAR}."
    )
    with panels(len(names), len(names), 1.6) as (figure, axes):
        for axis, name in zip(axes, names, strict=True):
            one = rows[rows["activation"] == name].sort_values("step")
            _band(axis, pd.Series(range(len(one))), one, SERIES[0])
            ticks = sorted({0, len(one) // 2, len(one) - 1}) if len(one) else []
            axis.set_xticks(ticks, [f"{one['step'].iloc[tick]:,}" for tick in ticks])
            axis.set_title(short(name, 16))
        axes[0].set_ylabel("pre-activation")
        axes[0].set(ylim=_limits(rows), xlim=(0, None))
        figure.supxlabel("training step", color=MUTED)
        return drawn(figure, "preactivations-time", title, message, download("preactivations_over_training", rows, 5))


def _limits(rows: pd.DataFrame) -> tuple[float, float]:
    low, high = np.nanmin(rows["q05"]), np.nanmax(rows["q95"])
    return max(low * 1.05, -FAR), min(high * 1.05, FAR)


def _band(axis: Axes, x: pd.Series, rows: pd.DataFrame, colour: str) -> None:
    axis.axhline(0, color=INK, linewidth=0.5)
    axis.fill_between(x, rows["q05"], rows["q95"], color=colour, alpha=0.28, linewidth=0)
    axis.plot(x, rows["q50"], color=colour, linewidth=1.4)


def _table(data: StudyData, bands: pd.DataFrame) -> Table:
    """The whole network's scale and mean, before and after."""
    pooled = _ends(bands).groupby(["dataset", "depth", "activation", "when"])[["mean", "sd"]].mean().unstack("when")
    counts = bands.groupby(["dataset", "depth", "activation"])[["n", "diverged"]].max()
    pooled.columns = [f"{column}_{when}" for column, when in pooled.columns]
    frame = pooled.join(counts).reset_index()
    frame = frame.assign(growth=frame["sd_end"] / frame["sd_start"])
    frame = frame.sort_values(["depth", "dataset", "growth"], ascending=[True, True, False], ignore_index=True)
    columns = [
        text("Dataset", "dataset"),
        number("Layers", "depth"),
        text("Activation", "activation", heads_row=True),
        number("Mean before", "mean_start", 2, signed=True),
        number("Mean after", "mean_end", 2, signed=True),
        number("Sd before", "sd_start", 2),
        number("Sd after", "sd_end", 2),
        number("Sd after over before", "growth", 2),
        *seed_columns(),
    ]
    caption = (
        "Pre-activations over all hidden layers, before and after training: means over layers of medians over seeds"
    )
    return Table("table-preactivations", caption, columns, frame, download("preactivations", frame))
