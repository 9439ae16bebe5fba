"""Before training: what mean-field theory says of the gradients, and what they are."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from activation_study.core.numbers import decimals
from activation_study.report.blocks import Block, Figure, Paragraph, Section
from activation_study.report.figures.drawing import (
    at_right,
    drawn,
    layer_ticks,
    mark,
    name_rows,
    panels,
    power_of_ten,
    powers,
    rows_high,
    short,
)
from activation_study.report.figures.theme import MUTED, OTHERS, PAPER, SERIES, emphasis
from activation_study.report.names import label
from activation_study.report.study_data import StudyData
from activation_study.report.tables import Table, download, number, text
from activation_study.report.words import plain_list

NAME, PART, PLACE = "Where the gradient goes", "Why", 5
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
NTH = ("", "", "second", "third", "fourth")
SEEN = 0.02
"""Part of the axis below which a bar or a shade is hidden by a mark."""
MOST = 3
"""Activations whose gradients are followed layer by layer."""
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
        _dumbbells(decay, kinds),
    ]
    layers = _by_layer(decay)
    if len(layers):
        blocks.insert(0, _layers(layers))
    return Section("decay", "Where the gradient goes", [*blocks, _table(kinds)])


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


def _dumbbells(decay: pd.DataFrame, kinds: pd.DataFrame) -> Figure:
    """Theory and measurement of each activation, at the greatest depth that most have."""
    known = kinds.dropna(subset=["predicted"])
    gap = (known["measured_per_layer"] - known["predicted_per_layer"]).abs()
    worst = known.loc[gap.idxmax()]
    how = min(known["initialisation"], key=lambda name: [*INITIALISATIONS, name].index(name))
    shown = known[known["initialisation"] == how]
    depth = shown["depth"].mode().max()
    shown = shown[shown["depth"] == depth]
    shown = shown.sort_values("measured_per_layer", kind="stable").reset_index(drop=True)
    message = (
        f"Decades that the gradient changes by per layer towards the input, {depth} layers, "
        f"{INITIALISATIONS.get(how, how)}; symmetric log scale, even within ±0.01. Ring: theory; dot: measured, the "
        "mean over datasets of the medians over seeds. "
        f"Agreement: within {CLOSE} decades per layer. Of all initialisations and depths {worst['activation']} is "
        f"furthest off, at {worst['depth']} layers: "
        f"{decimals(worst['measured_per_layer'], 3, signed=True)} measured, "
        f"{decimals(worst['predicted_per_layer'], 3, signed=True)} in theory."
    )
    with panels(1, 1, rows_high(len(shown))) as (figure, (axis,)):
        axis.axvline(0, color=MUTED, linewidth=0.8)
        for y, row in shown.iterrows():
            measured, predicted = row["measured_per_layer"], row["predicted_per_layer"]
            said = [decimals(value, 3, signed=True) for value in (predicted, measured)]
            told = mark(row["activation"], f"theory {said[0]}, measured {said[1]}")
            axis.plot([predicted, measured], [y, y], color=OTHERS, **told)
            axis.plot(predicted, y, "o", color=SERIES[0], markerfacecolor=PAPER, markersize=7, **told)
            axis.plot(measured, y, "o", color=SERIES[0], **told)
            at_right(axis, 1.1, y, said[0], MUTED)
            at_right(axis, 1.2, y, said[1])
        at_right(axis, 1.1, len(shown) - 0.2, "theory", MUTED)
        at_right(axis, 1.2, len(shown) - 0.2, "measured", MUTED)
        name_rows(axis, shown["activation"].tolist(), pad=8)
        axis.set_xscale("symlog", linthresh=0.01)
        ticks = [sign * tick for sign, tick in ((-1, 1), (-1, 0.1), (-1, 0.01), (0, 0), (1, 0.01), (1, 0.1), (1, 1))]
        low, high = axis.get_xlim()
        axis.set_xticks(ticks, [decimals(tick, 2, signed=True).rstrip("0").rstrip(".") or "0" for tick in ticks])
        axis.xaxis.set_minor_locator(NullLocator())
        axis.set_xlim(low, high)
        axis.set_xlabel("decades per layer towards the input")
        return drawn(figure, "decay", _agreement(gap), message, download("gradient_decay", decay, digits=5))


def _agreement(gap: pd.Series) -> str:
    """Title from how far measurement is from theory, in decades per layer."""
    close = int((gap <= CLOSE).sum())
    if 2 * close > len(gap):
        return f"Theory foretells the gradients in {close} of {len(gap)} cases"
    return f"Theory misses the measured gradients in {len(gap) - close} of {len(gap)} cases"


def _by_layer(decay: pd.DataFrame) -> pd.DataFrame:
    """The deepest kinds of the few activations that were begun in most ways, layer by layer: means over datasets."""
    ways = decay.groupby(["activation", "depth"])["initialisation"].transform("nunique")
    compared = decay[ways > 1]
    compared = compared[compared["depth"] == compared["depth"].max()]
    ways = compared.groupby("activation")["initialisation"].nunique().sort_values(ascending=False, kind="stable")
    compared = compared[compared["activation"].isin(ways.index[:MOST])]
    return compared.groupby([*KIND, "layer"], as_index=False).agg(
        n=("n", "sum"),
        zeros=("zeros", "sum"),
        **{name: (name, "mean") for name in ("measured", "predicted", *QUARTILES)},
    )


def _layers(layers: pd.DataFrame) -> Figure:
    first = layers[layers["layer"] == 1]
    names = first.groupby("activation")["measured"].min().sort_values(kind="stable").index.tolist()  # the title's first
    shown = [name for name in INITIALISATIONS if name in set(layers["initialisation"])]
    styles = emphasis(shown)
    most = first.loc[first["measured"].idxmin()]
    held = first.loc[first.groupby("activation")["measured"].apply(lambda decades: decades.abs().idxmin())]
    held = held[held["measured"].abs() < 1]  # within a factor of ten
    lost = [name for name in names if name not in set(held["activation"])]
    message = (
        "Size of the gradient against the last hidden layer's, which is at the right: it comes from the output; the "
        "right axis says how many times smaller. "
        + _marks(layers, len(styles))
        + "".join(
            f" {INITIALISATIONS[key][0].upper()}{INITIALISATIONS[key][1:]} keeps it best with "
            f"{plain_list(group['activation'].tolist())}."
            for key, group in held.groupby("initialisation", sort=False)
        )
        + f" With {plain_list(lost)} nothing keeps it within a factor of ten." * bool(lost)
    )
    seen, every = layers[["measured", "predicted", *QUARTILES]], _every(layers, len(styles))
    with panels(len(names), min(len(names), 4), 3.4) as (figure, axes):
        powers(axes[0], float(seen.min(axis=None)), float(seen.max(axis=None)))
        for axis, name in zip(axes, names, strict=True):
            for place, (initialisation, style) in enumerate(styles.items()):
                rows = layers[(layers["activation"] == name) & (layers["initialisation"] == initialisation)]
                axis.plot(rows["layer"], rows["predicted"], color=style.colour, linewidth=1.1, linestyle=style.line)
                bounds = (rows[f"single_{end}"] for end in ("q25", "q75"))
                axis.fill_between(rows["layer"], *bounds, color=style.colour, alpha=0.18, linewidth=0)
                marked = rows.iloc[place % every :: every]  # where lines coincide, their marks take turns
                axis.plot(marked["layer"], marked["measured"], style.marker, color=style.colour, markersize=4)
                ends = (marked[f"measured_{end}"] for end in ("q25", "q75"))
                axis.vlines(marked["layer"], *ends, color=style.colour, linewidth=0.6)
            layer_ticks(axis)
            axis.set(title=short(name), xlim=(0.5, layers["depth"].iloc[0] + 0.5), xlabel="layer, from input to output")
        handles = [Line2D([], [], color=s.colour, marker=s.marker, linestyle=s.line) for s in styles.values()]
        said = [INITIALISATIONS[key] for key in styles]
        figure.legend(handles, said, loc="outside upper left", ncols=5)
        axes[0].set_ylabel("gradient over the last layer's")
        smaller = axes[-1].secondary_yaxis("right")
        smaller.yaxis.set_major_locator(MaxNLocator(5, integer=True))
        smaller.yaxis.set_major_formatter(FuncFormatter(_smaller))
        smaller.tick_params(length=0)
        return drawn(
            figure, "decay-layers", _lost(most), message, download("gradient_decay_by_layer", layers, digits=5)
        )


def _every(layers: pd.DataFrame, starts: int) -> int:
    """Of how many layers one is marked: of deep networks not each."""
    return max(1, min(starts, int(layers["depth"].iloc[0]) // 4))


def _marks(layers: pd.DataFrame, starts: int) -> str:
    """What lines, marks, bars and shades are; of bars and shades only where some are larger than the marks."""
    every = _every(layers, starts)
    said = "Lines: theory; marks: measured" + f", each start's at every {NTH[every]} layer" * (every > 1)
    span = layers[["measured", "predicted"]].max(axis=None) - layers[["measured", "predicted"]].min(axis=None)
    bars, shades = ((layers[f"{of}_q75"] - layers[f"{of}_q25"]).max() for of in ("measured", "single"))
    if bars > SEEN * span:
        said += ", with a bar from quartile to quartile of the networks"
    else:
        said += "; the middle half of the networks is narrower than a mark"
    if shades > SEEN * span:
        said += (
            "; shaded: where half of the single networks lie by the law for finite width, which holds for leaky ReLUs "
            "at their gain"
        )
    return f"{said}."


def _smaller(decades: float, _: int) -> str:
    """By what the gradient is divided, at the right axis; nothing where it is not smaller."""
    return f"÷ {power_of_ten(-decades)}" if decades < -0.5 else ""


def _lost(most: pd.Series) -> str:
    """Title from the activation and initialisation with which least is left of the gradient."""
    if most["measured"] > -1:
        return f"No gradient shrinks tenfold through {most['depth']} layers, however begun"
    factor = power_of_ten(-most["measured"])
    how = INITIALISATIONS[most["initialisation"]]
    return f"{label(most['activation'])}, {how}: {factor} times less gradient {most['depth']} layers down"


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
