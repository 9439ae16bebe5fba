"""How the gradient's size changes from the output back to the input, over training."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle

from activation_study.analysis.experiments import NETWORK, PLAIN
from activation_study.analysis.standing import CELL
from activation_study.core.numbers import decimals
from activation_study.report.blocks import Block, Figure, Paragraph, Section, one_open
from activation_study.report.figures.drawing import Look, columns_for, drawn, panels, short
from activation_study.report.figures.theme import DIVERGING, GAP, MUTED
from activation_study.report.markup import slugs
from activation_study.report.study_data import CellKey, StudyData, cell_name, in_cell
from activation_study.report.tables import Table, cell_columns, download, interval, number, seed_columns, text
from activation_study.report.words import plain_list

NAME, PART, PLACE = "Gradient flow", "Why", 10
FOLDS = True
SHOWS = ("core.gradient_ratio",)
LIMIT = 6
"""Decades beyond which the colour no longer changes, at most."""
ACROSS, DOWN = 1.28, 1.6
"""Distance of the heat maps' left and lower edges, in their own size."""
VANISHING = 0.1
"""Decades per layer that a figure's description calls vanishing or exploding."""


def section(data: StudyData) -> Section | None:
    if not len(data.gradients):
        return None
    blocks: list[Block] = [
        Paragraph(
            "The size of the loss's gradient with respect to each layer's pre-activations, against the last hidden "
            "layer's, in powers of ten: −2 means a hundredth. Layer 1 is nearest the input. Measured in double "
            "precision, with medians over seeds; a gradient of exactly zero has no logarithm and is left out and "
            "counted."
        )
    ]
    cells = [cell for cell in data.deepest if len(in_cell(data.gradients, cell))]
    ids = slugs(map(cell_name, cells))
    blocks += one_open("gradients", [(cell[0], _flow(data, ids[cell_name(cell)], cell)) for cell in cells])
    return Section("gradients", "Gradient flow", [*blocks, _slopes(data)])


def _relative(rows: pd.DataFrame) -> pd.DataFrame:
    """log10 of the gradient's norm over the last hidden layer's: layer × step."""
    grid = rows.pivot(index="layer", columns="step", values="gradient").astype(float)
    return grid - grid.iloc[-1]


def _flow(data: StudyData, ident: str, cell: CellKey) -> Figure:
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
    theory = _theory(data, rows)
    title = f"Gradient flow, {cell_name(cell)}"
    message = (
        "Blue: smaller than at the last hidden layer; red: larger; grey: no value. Upwards: layers, the input at the "
        "bottom; to the right: training steps. Beneath each name: the change before training in decades per layer "
        "towards the input, and in brackets what mean-field theory predicts. At the start gradients vanish by more "
        f"than {VANISHING} decades per layer with {plain_list(vanishing) or 'none'}; they grow by more with "
        f"{plain_list(exploding) or 'none'}. The colours end at ±{limit} decades."
    )
    columns = columns_for(len(grids))
    kept = [*CELL, "activation", "step", "layer", "n", "zeros", "gradient", "gradient_q25", "gradient_q75"]
    kept += ["weight_gradient"]
    held = download(f"gradient_flow_{ident.replace('-', '_')}", rows[kept], digits=5)
    with panels(1, 1, 1.5 * -(-len(grids) // columns)) as (figure, (axis,)):
        for place, (name, grid) in enumerate(grids.items()):
            image = _tile(axis, grid, name, _rate(slopes[name], theory.get(name)), divmod(place, columns), limit)
        axis.set(xlim=(-0.1, columns * ACROSS), ylim=(-((len(grids) - 1) // columns) * DOWN - 0.1, 1.35))
        axis.set_axis_off()
        bar = figure.colorbar(image, ax=axis, shrink=0.6, aspect=30, pad=0.015, extend="both")
        bar.set_label("decades, against the last hidden layer", color=MUTED)
        bar.outline.set_visible(False)
        return drawn(figure, f"gradients-{ident}", title, message, held)


def _theory(data: StudyData, rows: pd.DataFrame) -> dict[str, float]:
    """Predicted decades per layer towards the input, by activation, of the networks that theory is about."""
    kinds = data.runs[data.runs["run"].isin(rows["run"])].drop_duplicates("run")
    kinds = kinds[(kinds[list(PLAIN)] == list(PLAIN.values())).all(axis=1)][NETWORK]
    first = data.decay[data.decay["layer"] == 1].merge(kinds, on=NETWORK).dropna(subset=["predicted"])
    return dict(zip(first["activation"], first["predicted"] / (first["depth"] - 1), strict=True))


def _rate(slope: float, predicted: float | None) -> str:
    measured = "no slope" if np.isnan(slope) else decimals(-slope, 2, signed=True)
    return measured if predicted is None else f"{measured} (theory {decimals(predicted, 2, signed=True)})"


def _tile(axis: Axes, grid: pd.DataFrame, name: str, said: str, place: tuple[int, int], limit: int) -> AxesImage:
    """One activation's layers × steps. All share one pair of axes: sixteen pairs take matplotlib ten times as long."""
    left, bottom = place[1] * ACROSS, -place[0] * DOWN
    axis.add_patch(Rectangle((left, bottom), 1, 1, color=GAP, linewidth=0, zorder=-1))
    image = axis.imshow(
        grid.to_numpy(),
        aspect="auto",
        origin="lower",
        cmap=DIVERGING,
        vmin=-limit,
        vmax=limit,
        extent=(left, left + 1, bottom, bottom + 1),
    )
    axis.text(left, bottom + 1.21, short(name, 18), fontsize=9, weight="bold")
    axis.text(left, bottom + 1.04, said, fontsize=8, color=MUTED)
    layers, steps = grid.shape
    ends: Look = {"va": "center", "ha": "right", "fontsize": 7.5, "color": MUTED}
    for row in (0, layers - 1):
        axis.text(left - 0.02, bottom + (row + 0.5) / layers, f"{grid.index[row]}", **ends)
    if place[1] == 0:
        axis.text(left - 0.16, bottom + 0.5, "layer", rotation=90, **ends | {"ha": "center"})
    for column in (0, steps // 2, steps - 1):
        at = ends | {"va": "top", "ha": "center"}
        axis.text(left + (column + 0.5) / steps, bottom - 0.04, f"{grid.columns[column]:,}", **at)
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
        *cell_columns(frame),
        text("Activation", "activation", heads_row=True),
        number("Before training (decades per layer)", "start", 3, signed=True),
        interval("95% interval", "start", 3, 1, signed=True),
        number("After training (decades per layer)", "end", 3, signed=True),
        interval("95% interval", "end", 3, 1, signed=True),
        number("Exact zeros (layers × probes)", "zeros"),
        *seed_columns(),
    ]
    caption = "How much the gradient changes per layer on its way back; negative where it shrinks towards the input"
    return Table("table-gradients", caption, columns, frame, download("gradient_slopes", frame))
