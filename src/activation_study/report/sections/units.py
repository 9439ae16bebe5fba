"""Dead and saturated units, layer by layer."""

from __future__ import annotations

import pandas as pd

from activation_study.activations.finite_width import born_dead
from activation_study.analysis.replicas import POOLED
from activation_study.analysis.standing import CELL
from activation_study.core.numbers import figures, percent
from activation_study.report.blocks import Block, Figure, Paragraph, Section, one_open
from activation_study.report.figures.drawing import drawn, panels, rows_high, short
from activation_study.report.figures.theme import GAP, INK, MUTED, SEQUENTIAL
from activation_study.report.markup import slugs
from activation_study.report.study_data import CellKey, StudyData, cell_name, in_cell
from activation_study.report.tables import Table, cell_columns, download, interval, number, seed_columns, text
from activation_study.report.words import plain_list

NAME, PART, PLACE = "Dead units", "Why", 30
FOLDS = True
WORTH_NAMING = 0.05
"""Share of units from which a figure's description names an activation."""


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
    ids = slugs(map(cell_name, cells))
    blocks += one_open("units", [(cell[0], _figure(data, last, ids[cell_name(cell)], cell)) for cell in cells])
    return Section("units", "Dead and saturated units", [*blocks, _table(last)])


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


def _figure(data: StudyData, last: pd.DataFrame, ident: str, cell: CellKey) -> Figure:
    rows = in_cell(last, cell)
    pooled = rows[rows["layer"] == POOLED].set_index("activation")
    layers = rows[rows["layer"] != POOLED]
    names = [name for name in data.order if name in pooled.index]
    title = f"Dead and saturated units at the end of training, {cell_name(cell)}"
    message = " ".join(
        f"{word}: {_ranked(pooled[metric])}."
        for metric, word in (("dead", "Dead units"), ("saturated", "Saturated responses"))
    )
    message += (
        " Each row is an activation and each column a layer, the input at the left; the number is the mean over all "
        "layers."
    )
    kept = [*CELL, "activation", "step", "layer", "n", "diverged", "samples", "dead", "saturated_low", "saturated_high"]
    held = download(f"units_by_layer_{ident.replace('-', '_')}", layers[kept])
    with panels(2, 2, 0.5 + rows_high(len(names)), share=False) as (figure, axes):
        for axis, (metric, label) in zip(
            axes, (("dead", "Dead units"), ("saturated", "Saturated responses")), strict=True
        ):
            grid = layers.pivot(index="activation", columns="layer", values=metric).reindex(names).astype(float)
            axis.set_facecolor(GAP)
            image = axis.imshow(grid.to_numpy(), aspect="auto", cmap=SEQUENTIAL, vmin=0, vmax=1)
            labels = [short(name) if axis is axes[0] else "" for name in names]
            axis.set_yticks(range(len(names)), labels, color=INK)
            ticks = sorted({0, (grid.shape[1] - 1) // 2, grid.shape[1] - 1})
            axis.set_xticks(ticks, [str(grid.columns[tick]) for tick in ticks])
            axis.set(title=label, xlabel="layer")
            axis.tick_params(length=0)
            axis.grid(visible=False)
            for spine in axis.spines.values():
                spine.set_visible(False)
            for y, name in enumerate(names):
                share = pooled.loc[name, metric]
                said = "no value" if pd.isna(share) else percent(share)
                axis.text(1.02, y, said, transform=axis.get_yaxis_transform(), va="center", color=INK, fontsize=8)
        bar = figure.colorbar(image, ax=axes, location="bottom", shrink=0.4, aspect=30, pad=0.03)
        bar.set_ticks([0, 0.5, 1], labels=["0%", "50%", "100%"])
        bar.set_label("share of the layer", color=MUTED)
        bar.outline.set_visible(False)
        return drawn(figure, f"units-{ident}", title, message, held)


def _ranked(shares: pd.Series) -> str:
    high = shares[shares >= WORTH_NAMING].sort_values(ascending=False, kind="stable")
    if high.empty:
        return f"below {percent(WORTH_NAMING, 0)} of the units with every activation"
    named = [f"{name} {percent(share, 0)}" for name, share in high.iloc[:4].items()]
    return f"most with {plain_list(named)}; " + (
        f"{len(high) - 4} more at or above {percent(WORTH_NAMING, 0)}"
        if len(high) > 4
        else f"below {percent(WORTH_NAMING, 0)} with all others"
    )


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
