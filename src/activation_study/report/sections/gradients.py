"""How the gradient's size changes from the output back to the input, over training."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from activation_study.analysis.experiments import NETWORK, PLAIN
from activation_study.analysis.standing import CELL
from activation_study.core.numbers import decimals
from activation_study.report.blocks import Block, Figure, Paragraph, Section
from activation_study.report.figures.drawing import (
    Look,
    columns_for,
    drawn,
    layer_ticks,
    mark,
    name_lines,
    panels,
    power_of_ten,
    powers,
    short,
)
from activation_study.report.figures.heat import heat, key
from activation_study.report.figures.theme import BAND, COLD, HOT, MUTED, looks
from activation_study.report.markup import slug, slugs
from activation_study.report.names import label
from activation_study.report.study_data import CellKey, StudyData, cell_name, in_cell
from activation_study.report.tables import Table, cell_columns, download, interval, number, seed_columns, text
from activation_study.report.words import counted, plain_list

NAME, PART, PLACE = "Gradient flow", "Why", 10
FOLDS = True
SHOWS = ("core.gradient_ratio",)
EDGES = (-10, -3, -1, -0.1, 0.1, 1, 3, 10)
CLASSES = (
    (COLD[3], "≤ 10⁻¹⁰"),
    (COLD[2], "≤ 10⁻³"),
    (COLD[1], "≤ 10⁻¹"),
    (COLD[0], "smaller"),
    ("", "about 1"),
    (HOT[0], "larger"),
    (HOT[1], "≥ 10"),
    (HOT[2], "≥ 10³"),
    (HOT[3], "≥ 10¹⁰"),
)
"""Decades of the heat maps, and their colours."""
ACROSS, DOWN = 1.28, 1.6
"""Distance of the heat maps' left and lower edges, in their own size."""
NAMED = 3
"""Activations whose gradients change most have lines of their own; the others are a band."""
NEAR, PART_OF = 0.5, 0.25
"""Decades, and part of the change, within which datasets are said to show the same."""
KEPT = [*CELL, "activation", "step", "layer", "n", "diverged", "zeros", "gradient", "gradient_q25", "gradient_q75"]


def section(data: StudyData) -> Section | None:
    if not len(data.gradients):
        return None
    lead = (
        "The size of the loss's gradient with respect to each layer's pre-activations, against the last hidden "
        "layer's. Layer 1 is nearest the input. Measured in double precision, with medians over seeds; a gradient "
        "of exactly zero has no logarithm and is left out and counted."
    )
    cells = [cell for cell in data.deepest if len(in_cell(data.gradients, cell))]
    if not cells:
        return Section("gradients", "Gradient flow", [Paragraph(lead), _slopes(data)])
    changes = _changes(data.gradients[pd.MultiIndex.from_frame(data.gradients[CELL]).isin(cells)])
    first, *others = dict.fromkeys(cell[0] for cell in cells)
    differing = [name for name in others if not _same(changes, first, name)]
    blocks: list[Block] = [Paragraph(lead), _lines(data, first, cells, changes)]
    if same := [name for name in others if name not in differing]:
        blocks.append(Paragraph(_same_elsewhere(changes, first, same)))
    blocks += [_lines(data, name, cells, changes) for name in differing]
    own = [cell for cell in cells if cell[0] in (first, *differing)]
    ids = slugs(map(cell_name, cells))
    maps = [_flow(data, ids[cell_name(cell)], cell) for cell in own]
    brief = "activation by activation, layer by layer and step by step"
    return Section(
        "gradients", "Gradient flow", [*blocks, Section("gradient-maps", "As heat maps", maps, brief), _slopes(data)]
    )


def _changes(flow: pd.DataFrame) -> pd.DataFrame:
    """One row per run: decades of the first layer's gradient over the last one's, at the first and last probe.

    Where the first layer's is exactly zero, the nearest layer's that is not.
    """
    kept = ["run", *CELL, "activation"]
    known = flow.dropna(subset=["gradient"]).sort_values(["step", "layer"])
    nearest, last = known.drop_duplicates(["run", "step"]), known[known["layer"] == known["depth"]]
    change = nearest.merge(last[["run", "step", "gradient"]], on=["run", "step"], suffixes=("", "_last"))
    change = change.assign(decades=change["gradient"] - change["gradient_last"])
    return change.groupby(kept, as_index=False).agg(start=("decades", "first"), end=("decades", "last"))


def _apart(changes: pd.DataFrame, first: str, other: str) -> pd.DataFrame:
    """Per activation and depth: the change before training on the first dataset, and how far the other's is."""
    keys = ["depth", "condition", "activation"]
    one, two = (changes[changes["dataset"] == name].set_index(keys)["start"] for name in (first, other))
    return pd.DataFrame({"start": one, "apart": (one - two).abs()}).dropna()


def _same(changes: pd.DataFrame, first: str, other: str) -> bool:
    found = _apart(changes, first, other)
    return bool((found["apart"] <= np.maximum(NEAR, PART_OF * found["start"].abs())).all()) and len(found) > 0


def _same_elsewhere(changes: pd.DataFrame, first: str, others: list[str]) -> str:
    worst = max(float(_apart(changes, first, name)["apart"].max()) for name in others)
    part = f", nor by more than a quarter of it and {NEAR:z.1f} decades" if worst > NEAR else ""
    return (
        f"Before training the gradients do the same on {plain_list(others)}: no change from the last layer to the "
        f"first differs by more than {decimals(worst)} decades from that on {first}{part}."
    )


def _title(changes: pd.DataFrame) -> str:
    """The gradient that is changed most before training, in words. `changes`: of one dataset."""
    known = changes.dropna(subset=["start"])
    if known.empty:
        return "Where the gradient goes"
    worst = known.loc[known["start"].abs().idxmax()]
    if abs(worst["start"]) < 1:
        return f"No gradient changes tenfold through {known['depth'].max()} layers"
    verb = "shrinks" if worst["start"] < 0 else "grows"
    factor = power_of_ten(abs(worst["start"]))
    return f"{label(worst['activation'])}: the gradient {verb} {factor}-fold through {worst['depth']} layers"


def _lines(data: StudyData, dataset: str, cells: list[CellKey], changes: pd.DataFrame) -> Figure:
    """Before training at the left, after it at the right; a row per depth."""
    cells = [cell for cell in cells if cell[0] == dataset]
    own = changes[changes["dataset"] == dataset]
    most = own["start"].abs().groupby(own["activation"]).max().sort_values(ascending=False, kind="stable")
    named = most.index[:NAMED].tolist()
    styles = looks(named)
    rows = data.gradients[pd.MultiIndex.from_frame(data.gradients[CELL]).isin(cells)]
    message = (
        f"On {dataset}: size of the gradient against the last hidden layer's, which is at the right: it comes from "
        f"the output. Shaded: the others. "
        + "; ".join(
            f"{name}: {decimals(one['start'], 1, signed=True)} decades before training, "
            f"{decimals(one['end'], 1, signed=True)} after it"
            for name, one in own[own["depth"] == own["depth"].max()].set_index("activation").iterrows()
            if name in named
        )
        + "."
    )
    with panels(2 * len(cells), 2, 2.3, share=False) as (figure, axes):
        for place, axis in enumerate(axes):
            cell, last = cells[place // 2], bool(place % 2)
            shown = in_cell(rows, cell)
            grids = {name: _relative(one).iloc[:, -last] for name, one in shown.groupby("activation")}
            band = pd.DataFrame({name: grid for name, grid in grids.items() if name not in named})
            seen = own.loc[own["depth"] == cell[1], ["start", "end"]]
            powers(axis, float(seen.min(axis=None)), float(seen.max(axis=None)))
            layer_ticks(axis)
            axis.set(xlim=(0.5, cell[1] + 0.5), title=f"{cell[1]} layers, {'after' if last else 'before'} training")
            if len(band.columns):
                axis.fill_between(band.index, band.min(axis=1), band.max(axis=1), color=BAND, linewidth=0)
            for name in (name for name in named if name in grids):
                look: Look = {"color": styles[name].colour, "linestyle": styles[name].line}
                known = grids[name].dropna()
                axis.plot(known.index, known, **look, **mark(name))
        name_lines(figure, styles)
        figure.supxlabel("layer, from input to output", color=MUTED)
        figure.supylabel("gradient over the last layer's", color=MUTED)
        held = download(f"gradient_lines_{slug(dataset).replace('-', '_')}", rows[KEPT], digits=5)
        return drawn(figure, f"gradients-{slug(dataset)}", _title(own), message, held)


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
    slopes = {name: _slope_at(rows[rows["activation"] == name]) for name in grids}
    theory = _theory(data, rows)
    message = (
        "Size of the gradient against the last hidden layer's. Upwards: layers, the input at the bottom; to the right: "
        "training steps. Beneath each name: the change before training in decades per layer towards the input, and in "
        "brackets what mean-field theory predicts."
    )
    title = f"Gradients of {counted(len(grids), 'activation')}, {cell_name(cell)}"
    columns = columns_for(len(grids))
    held = download(f"gradient_flow_{ident.replace('-', '_')}", rows[[*KEPT, "weight_gradient"]], digits=5)
    with panels(1, 1, 0.3 + 1.5 * -(-len(grids) // columns)) as (figure, (axis,)):
        for place, (name, grid) in enumerate(grids.items()):
            _tile(axis, grid, name, _rate(slopes[name], theory.get(name)), divmod(place, columns))
        axis.set(xlim=(-0.1, columns * ACROSS), ylim=(-((len(grids) - 1) // columns) * DOWN - 0.1, 1.35))
        axis.set_axis_off()
        key(figure, CLASSES, "no value")
        return drawn(figure, f"gradient-map-{ident}", title, message, held)


def _theory(data: StudyData, rows: pd.DataFrame) -> dict[str, float]:
    """Predicted decades per layer towards the input, by activation, of the networks that theory is about."""
    kinds = data.runs[data.runs["run"].isin(rows["run"])].drop_duplicates("run")
    kinds = kinds[(kinds[list(PLAIN)] == list(PLAIN.values())).all(axis=1)][NETWORK]
    first = data.decay[data.decay["layer"] == 1].merge(kinds, on=NETWORK).dropna(subset=["predicted"])
    return dict(zip(first["activation"], first["predicted"] / (first["depth"] - 1), strict=True))


def _rate(slope: float, predicted: float | None) -> str:
    measured = "no slope" if np.isnan(slope) else decimals(-slope, 2, signed=True)
    return measured if predicted is None else f"{measured} (theory {decimals(predicted, 2, signed=True)})"


def _tile(axis: Axes, grid: pd.DataFrame, name: str, said: str, place: tuple[int, int]) -> None:
    """One activation's layers × steps. All share one pair of axes: sixteen pairs take matplotlib ten times as long."""
    left, bottom = place[1] * ACROSS, -place[0] * DOWN
    heat(axis, grid.to_numpy(), EDGES, CLASSES, (left, bottom, 1, 1))
    axis.plot([left, left, left + 1], [bottom + 1, bottom, bottom], color=MUTED, linewidth=0.6)
    axis.text(left, bottom + 1.21, short(name, 18), fontsize=9, weight="bold")
    axis.text(left, bottom + 1.04, said, color=MUTED)
    layers, steps = grid.shape
    ends: Look = {"va": "center", "ha": "right", "color": MUTED}
    for row in (0, layers - 1):
        axis.text(left - 0.02, bottom + (row + 0.5) / layers, f"{grid.index[row]}", **ends)
    if place[1] == 0:
        axis.text(left - 0.16, bottom + 0.5, "layer", rotation=90, **ends | {"ha": "center"})
    for column in (0, steps // 2, steps - 1):
        at = ends | {"va": "top", "ha": "center"}
        axis.text(left + (column + 0.5) / steps, bottom - 0.04, f"{grid.columns[column]:,}", **at)


def _slope_at(rows: pd.DataFrame) -> float:
    """Before training."""
    return float(rows.sort_values("step")["gradient_slope"].iloc[0])


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
