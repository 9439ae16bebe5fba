"""How the gradient's size changes from the output back to the input, over training."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.image import AxesImage

from activation_study.report.data import CELL, CellKey, StudyData, cell_name, in_cell
from activation_study.report.document import Block, Figure, Paragraph, Section
from activation_study.report.svg import svg
from activation_study.report.tables import Table, decimals, download, interval, number, text
from activation_study.report.theme import DIVERGING, GAP, INK, MUTED, columns_for, panels, short
from activation_study.report.words import plain_list

LIMIT = 6
"""Decades beyond which the colour no longer changes, at most."""
VANISHING = 0.1
"""Decades per layer that a figure's description calls vanishing or exploding."""


def section(data: StudyData) -> Section | None:
    if not len(data.gradients):
        return None
    blocks: list[Block] = [
        Paragraph(
            "The size of the loss's gradient with respect to each layer's pre-activations, against the last hidden "
            "layer's, in powers of ten: −2 means a hundredth. Layer 1 is nearest the input. Measured in "
            "double precision, with "
            "medians over seeds; a gradient of exactly zero has no logarithm and is left out and counted."
        )
    ]
    blocks += [
        _flow(data, number, cell) for number, cell in enumerate(data.deepest, 1) if len(in_cell(data.gradients, cell))
    ]
    return Section("gradients", "Gradient flow", [*blocks, _slopes(data)])


def _relative(rows: pd.DataFrame) -> pd.DataFrame:
    """log10 of the gradient's norm over the last hidden layer's: layer × step."""
    grid = rows.pivot(index="layer", columns="step", values="gradient").astype(float)
    return grid - grid.iloc[-1]


def _flow(data: StudyData, number: int, cell: CellKey) -> Figure:
    rows = in_cell(data.gradients, cell)
    grids = {
        name: _relative(rows[rows["activation"] == name]) for name in data.order if (rows["activation"] == name).any()
    }
    steps = sorted(rows["step"].unique())  # a run that diverged has fewer
    grids = {name: grid.reindex(columns=steps) for name, grid in grids.items()}
    largest = max(float(np.nanmax(np.abs(grid), initial=0)) for grid in grids.values())
    limit = int(np.clip(np.ceil(largest), 1, LIMIT))
    slopes = {name: _slope_at(rows[rows["activation"] == name], first=True) for name in grids}
    vanishing = [name for name, slope in slopes.items() if slope > VANISHING]
    exploding = [name for name, slope in slopes.items() if slope < -VANISHING]
    title = f"Gradient flow, {cell_name(cell)}"
    message = (
        "Blue: smaller than at the last hidden layer; red: larger; grey: no value. Beneath each name: the slope before "
        f"training, in decades per layer. At the start gradients vanish by more than {VANISHING} decades per layer "
        "towards the input with "
        f"{plain_list(vanishing) or 'none'}; they grow by more with {plain_list(exploding) or 'none'}. "
        f"The colours end at ±{limit} decades."
    )
    columns = columns_for(len(grids))
    with panels(len(grids), columns, 1.75, share=True) as (figure, axes):
        for axis, (name, grid) in zip(axes, grids.items(), strict=True):
            image = _heat(axis, grid, limit)
            axis.set_title(short(name), pad=14)
            slope = f"{decimals(-slopes[name], 2, signed=True)} per layer" if not np.isnan(slopes[name]) else "no slope"
            axis.text(0, 1.02, slope, transform=axis.transAxes, fontsize=8, color=MUTED, va="bottom")
        for axis in axes[::columns]:
            axis.set_ylabel("layer")
        for axis in axes[-columns:]:
            axis.set_xlabel("step")
        bar = figure.colorbar(image, ax=axes, shrink=0.6, aspect=30, pad=0.015, extend="both")
        bar.set_label("decades, against the last hidden layer", color=MUTED)
        bar.outline.set_visible(False)
        picture = svg(figure, f"figure-gradients-{number}", title, message)
    kept = [
        *CELL,
        "activation",
        "step",
        "layer",
        "n",
        "zeros",
        "gradient",
        "gradient_q25",
        "gradient_q75",
        "weight_gradient",
    ]
    return Figure(
        f"figure-gradients-{number}", title, message, picture, download(f"gradient_flow_{number}", rows[kept])
    )


def _heat(axis: Axes, grid: pd.DataFrame, limit: int) -> AxesImage:
    axis.set_facecolor(GAP)
    image = axis.imshow(grid.to_numpy(), aspect="auto", origin="lower", cmap=DIVERGING, vmin=-limit, vmax=limit)
    ticks = np.unique(np.linspace(0, grid.shape[1] - 1, 4).round().astype(int))
    axis.set_xticks(ticks, [f"{grid.columns[tick]:,}" for tick in ticks], fontsize=7.5)
    layers = np.unique(np.linspace(0, grid.shape[0] - 1, 3).round().astype(int))
    axis.set_yticks(layers, [str(grid.index[layer]) for layer in layers], color=INK)
    axis.grid(visible=False)
    return image


def _slope_at(rows: pd.DataFrame, *, first: bool) -> float:
    steps = rows.sort_values("step")
    return float(steps["gradient_slope"].iloc[0 if first else -1]) if len(steps) else np.nan


def _slopes(data: StudyData) -> Table:
    """Slopes before and after training, in the direction of travel: negative when they shrink towards the input."""
    flow = data.gradients
    rows = flow.groupby("run").agg(start=("step", "min"), end=("step", "max")).reset_index()
    once = flow.drop_duplicates(["run", "step"])
    kept = ["run", "step", *CELL, "activation", "n", "diverged"]
    frame = once.merge(rows, left_on=["run", "step"], right_on=["run", "start"])[kept]
    for when in ("start", "end"):
        at = rows.merge(once, left_on=["run", when], right_on=["run", "step"])
        slope = pd.DataFrame(
            {
                "run": at["run"],
                f"{when}": -at["gradient_slope"],
                f"{when}_low": -at["gradient_slope_high"],
                f"{when}_high": -at["gradient_slope_low"],
            }
        )
        frame = frame.merge(slope, on="run")
    zeros = flow.groupby("run")["zeros"].sum().rename("zeros").reset_index()
    frame = frame.merge(zeros, on="run").drop(columns=["run", "step"]).sort_values([*CELL, "start"], ignore_index=True)
    columns = [
        text("Dataset", "dataset"),
        number("Layers", "depth"),
        *([text("Condition", "condition")] if frame["condition"].any() else []),
        text("Activation", "activation", heads_row=True),
        number("Before training (decades per layer)", "start", 3, signed=True),
        interval("95% interval", "start", 3, 1, signed=True),
        number("After training (decades per layer)", "end", 3, signed=True),
        interval("95% interval", "end", 3, 1, signed=True),
        number("Exact zeros (layers × probes)", "zeros"),
        number("Seeds", "n"),
        number("Diverged", "diverged"),
    ]
    caption = "How much the gradient changes per layer on its way back; negative where it shrinks towards the input"
    return Table("table-gradients", caption, columns, frame, download("gradient_slopes", frame))
