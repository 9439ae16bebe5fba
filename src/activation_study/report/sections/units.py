"""Dead and saturated units, layer by layer."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from activation_study.activations.finite_width import born_dead
from activation_study.analysis.replicas import POOLED
from activation_study.analysis.standing import CELL
from activation_study.core.numbers import decimals, figures, percent
from activation_study.report.blocks import Block, Figure, Paragraph, Section, one_open
from activation_study.report.figures.drawing import (
    at_right,
    colours_of,
    drawn,
    label_ends,
    layer_ticks,
    mark,
    name_rows,
    panels,
    rows_high,
)
from activation_study.report.figures.heat import heat, key
from activation_study.report.figures.theme import COLD, MUTED, looks
from activation_study.report.markup import slug
from activation_study.report.names import label
from activation_study.report.study_data import CellKey, StudyData, in_cell
from activation_study.report.tables import Table, cell_columns, download, interval, number, seed_columns, text
from activation_study.report.words import fitting, plain_list

NAME, PART, PLACE = "Dead units", "Why", 30
FOLDS = True
WORTH_NAMING = 0.05
"""Share of units from which a figure's description names an activation."""
SAME = 0.1
"""Share of units within which datasets are said to show the same."""
UNEVEN = 0.2
"""Share of units by which a layer stands out among an activation's others."""
EDGES = (1e-9, 0.05, 0.25, 0.5)
CLASSES = (("", "0%"), (COLD[0], "to 5%"), (COLD[1], "to 25%"), (COLD[2], "to 50%"), (COLD[3], "more"))


def section(data: StudyData) -> Section | None:
    last = _at_the_end(data)
    if not len(last):
        return None
    blocks: list[Block] = [
        Paragraph(
            "A unit is dead when its slope is exactly zero on every sample of a fixed set: no gradient passes it. A "
            "unit's response is saturated where the slope is below a tenth of the activation's steepest. Both at the "
            f"end of training; {int(last['samples'].max()):,} samples at most, and the dead rate falls as that number "
            "grows. Networks that diverged have no units to count: these are of those that finished." + _whole(data)
        )
    ]
    cells = [cell for cell in data.deepest if len(in_cell(last, cell))]
    if not cells:
        return Section("units", "Dead and saturated units", [*blocks, _table(last)])
    first, *others = dict.fromkeys(cell[0] for cell in cells)
    differing = [name for name in others if not _apart(last, cells, first, name) <= SAME]
    if same := [name for name in others if name not in differing]:
        said = f"On {plain_list(same)} no share differs by more than {percent(SAME, 0)} of the units."
        blocks.append(Paragraph(said))
    figures_ = [
        (name, _figure(data, last, name, [cell for cell in cells if cell[0] == name])) for name in (first, *differing)
    ]
    blocks += one_open("units", figures_)
    return Section("units", "Dead and saturated units", [*blocks, _table(last)])


def _apart(last: pd.DataFrame, cells: list[CellKey], first: str, other: str) -> float:
    """The largest difference between two datasets' shares of an activation at a depth."""
    pooled = last[(last["layer"] == POOLED) & pd.MultiIndex.from_frame(last[CELL]).isin(cells)]
    shares = pooled.set_index(["depth", "condition", "activation"])
    one, two = (shares.loc[shares["dataset"] == name, ["dead", "saturated"]] for name in (first, other))
    return float((one - two).abs().max(axis=None))


def _whole(data: StudyData) -> str:
    """How improbable it is that a whole network is born dead."""
    plain = data.runs[(data.runs["activation"] == "relu") & (data.runs["network"] == "mlp")]
    plain = plain[["width", "depth"]].drop_duplicates()
    if plain.empty:
        return ""
    probability = max(born_dead([width] * depth) for width, depth in zip(plain["width"], plain["depth"], strict=True))
    return (
        " Before training a whole ReLU network gives nothing for an input with a probability of 1 − Π(1 − 2⁻ⁿ) over "
        f"its layers of n units, here at most {figures(probability, 1)}: single units are what dies."
    )


def _at_the_end(data: StudyData) -> pd.DataFrame:
    health = data.health
    last = health[health["step"] == health.groupby("run")["step"].transform("max")]
    return last.assign(saturated=last["saturated_low"] + last["saturated_high"])


def _figure(data: StudyData, last: pd.DataFrame, dataset: str, cells: list[CellKey]) -> Figure:
    """A row per depth: at the left the layers of what has dead units, at the right saturation of every activation."""
    rows = last[pd.MultiIndex.from_frame(last[CELL]).isin(cells)]
    pooled = rows[(rows["layer"] == POOLED) & (rows["depth"] == rows["depth"].max())].set_index("activation")
    layers = rows[rows["layer"] != POOLED]
    message = " ".join(
        f"{word}: {_ranked(pooled[metric])}." for metric, word in (("dead", "Dead units"), ("saturated", "Saturated"))
    )
    message += (
        f" On {dataset}. Left: activations with {percent(WORTH_NAMING, 0)} or more dead units in some layer. Right: "
        "each row is an activation and each column a layer, the input at the left; the number is the mean over all "
        "layers. " + _uneven(in_cell(layers, cells[-1]))
    )
    kept = [*CELL, "activation", "step", "layer", "n", "diverged", "samples", "dead", "saturated_low", "saturated_high"]
    held = download(f"units_by_layer_{slug(dataset).replace('-', '_')}", layers[kept])
    high = max(rows_high(in_cell(rows, cell)["activation"].nunique(), keyed=True) for cell in cells)
    with panels(2 * len(cells), 2, high, share=False) as (figure, axes):
        for cell, left, right in zip(cells, axes[::2], axes[1::2], strict=True):
            _dead(left, in_cell(layers, cell))
            _saturated(right, in_cell(rows, cell))
            left.set(title=f"{cell[1]} layers: dead units (%)", xlabel="layer")
            right.set(title=f"{cell[1]} layers: saturated responses", xlabel="layer")
        key(figure, CLASSES)
        return drawn(figure, f"units-{slug(dataset)}", _title(pooled["dead"], cells[-1][1]), message, held)


def _uneven(layers: pd.DataFrame) -> str:
    """The activations of which one layer stands far above their others, and why PReLU's do."""
    shares = layers.pivot(index="activation", columns="layer", values="saturated")
    above = (shares.max(axis=1) - shares.median(axis=1)).sort_values(ascending=False, kind="stable")
    names = above.index[above >= UNEVEN].tolist()
    if not names:
        return ""
    said = [f"{name} in layer {shares.loc[name].idxmax()} ({percent(shares.loc[name].max(), 0)})" for name in names]
    why = " PReLU learns a slope per layer: where it comes near 0, negative responses count as saturated."
    return f"Far above their other layers: {plain_list(said)}." + why * ("prelu" in names)


def _title(dead: pd.Series, depth: int) -> str:
    """From the share of dead units by activation."""
    if not dead.max() >= WORTH_NAMING:
        return "Hardly any unit is dead after training"
    most = label(str(dead.idxmax()))
    return fitting(
        f"{percent(dead.max(), 0)} of {most}'s units are dead after training, {depth} layers",
        f"{percent(dead.max(), 0)} of {most}'s units are dead after training",
    )


def _dead(axis: Axes, layers: pd.DataFrame) -> None:
    most = layers.groupby("activation")["dead"].max().sort_values(ascending=False, kind="stable")
    styles = looks(most.index[most >= WORTH_NAMING][:5].tolist())
    axis.set(ylim=(0, max(10, 105 * most.max())), xlim=(layers["layer"].min() - 0.1, layers["layer"].max() + 0.1))
    layer_ticks(axis)
    if not styles:
        said = f"below {percent(WORTH_NAMING, 0)} in every layer"
        axis.text(0.5, 0.5, said, transform=axis.transAxes, ha="center", va="center", color=MUTED)
    ends = {}
    for name, style in styles.items():
        own = layers[layers["activation"] == name].sort_values("layer")
        share = own["dead"] * 100
        told = mark(name, f"at most {decimals(share.max())}%")
        axis.plot(own["layer"], share, style.marker, color=style.colour, linestyle=style.line, markersize=3, **told)
        ends[name] = (own["layer"].iloc[-1], share.iloc[-1])
    label_ends(axis, ends, colours_of(styles))


def _saturated(axis: Axes, rows: pd.DataFrame) -> None:
    pooled = rows[rows["layer"] == POOLED].set_index("activation")["saturated"].sort_values(kind="stable")
    names = pooled.index.tolist()
    grid = rows[rows["layer"] != POOLED].pivot(index="activation", columns="layer", values="saturated").reindex(names)
    heat(axis, grid.to_numpy(dtype=float), EDGES, CLASSES)
    name_rows(axis, names)
    ticks = sorted({0, (grid.shape[1] - 1) // 2, grid.shape[1] - 1})
    axis.set_xticks(ticks, [str(grid.columns[tick]) for tick in ticks])
    axis.set_xlim(-0.5, grid.shape[1] - 0.5)
    axis.grid(visible=False)
    for y, share in enumerate(pooled):
        at_right(axis, 1.16, y, "no value" if pd.isna(share) else percent(share))


def _ranked(shares: pd.Series) -> str:
    high = shares[shares >= WORTH_NAMING].sort_values(ascending=False, kind="stable")
    if high.empty:
        return f"below {percent(WORTH_NAMING, 0)} of the units with every activation"
    named = [f"{name} {percent(share, 0)}" for name, share in high.iloc[:4].items()]
    said = f"most with {plain_list(named)}"
    if len(high) > 4:
        return f"{said}; {len(high) - 4} more at or above {percent(WORTH_NAMING, 0)}"
    return f"{said}; below {percent(WORTH_NAMING, 0)} with all others" if len(high) < len(shares) else said


def _table(last: pd.DataFrame) -> Table:
    frame = last[last["layer"] == POOLED].sort_values([*CELL, "dead"], ascending=[True, True, True, False])
    columns = [
        *cell_columns(frame),
        text("Activation", "activation", heads_row=True),
        number("Dead (%)", "dead", 1, 100),
        interval("95% interval (%)", "dead"),
        number("Born dead (%)", "born_dead", 1, 100),
        number("Unusable at 0.001 (%)", "unusable_001", 1, 100),
        number("Unusable at 0.01 (%)", "unusable_01", 1, 100),
        number("Saturated low (%)", "saturated_low", 1, 100),
        number("Saturated high (%)", "saturated_high", 1, 100),
        *seed_columns(),
    ]
    caption = (
        "Units at the end of training, over all hidden layers; unusable: never above that share of the steepest slope"
    )
    kept = [*CELL, "activation", "step", "n", "diverged", "samples", "dead", "dead_low", "dead_high", "born_dead"]
    kept += ["unusable_001", "unusable_01", "saturated_low", "saturated_high"]
    return Table("table-units", caption, columns, frame, download("units", frame[kept]))
