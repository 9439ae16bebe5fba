"""One section per activation, with all that the study knows of it."""

from __future__ import annotations

import re

import pandas as pd
from markupsafe import Markup

from activation_study.report.data import CELL, CellKey, StudyData, cell_name, in_cell
from activation_study.report.document import Block, Facts, Figure, Paragraph, Section
from activation_study.report.sections import portraits
from activation_study.report.svg import svg
from activation_study.report.tables import Cell, Column, Table, decimals, download, figures, interval, number, text
from activation_study.report.theme import BAND, INK, MUTED, SERIES, log_steps, panels, short
from activation_study.report.words import code, counted, plain_list, standing
from activation_study.summaries import POOLED


def section(data: StudyData) -> Section | None:
    if not data.order:
        return None
    ids = identifiers(data.order)
    about = [_one(data, name, ids[name]) for name in data.order]
    lead = Markup("In the order of the ranking. ") + Markup(" · ").join(
        Markup('<a href="#{}">{}</a>').format(one.id, name) for one, name in zip(about, data.order, strict=True)
    )
    return Section("profiles", "Activation by activation", [Paragraph(lead), *about])


def identifiers(names: list[str]) -> dict[str, str]:
    """A stable id for each name: letters, digits and hyphens, told apart by the position if they would collide."""
    ids: dict[str, str] = {}
    for name in sorted(names):
        stem = "activation-" + (re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "unnamed")
        ids[name] = stem if stem not in ids.values() else f"{stem}-{len(ids)}"
    return ids


def _one(data: StudyData, name: str, ident: str) -> Section:
    rows = data.ranking[data.ranking["activation"] == name]
    constants = data.tables["activations"]
    blocks: list[Block] = [Paragraph(standing(data, name)), *_gaps(data, name, rows)]
    blocks.append(_figure(data, name, ident))
    found = constants[constants["activation"] == name]
    if len(found):
        blocks.append(Facts(_facts(found.iloc[0])))
    blocks.append(_table(data, name, ident, rows))
    return Section(ident, name, blocks)


def _gaps(data: StudyData, name: str, rows: pd.DataFrame) -> list[Paragraph]:
    has = {tuple(row) for row in rows[CELL].itertuples(index=False)}
    lacking = [cell_name(cell) for cell in data.cells if cell not in has]
    said = Markup("<strong>Gap.</strong> {} has no results for {}.").format(code(name), plain_list(lacking))
    return [Paragraph(said, "gap")] if lacking else []


def _facts(constants: pd.Series) -> list[tuple[str, str]]:
    chaos = constants["sigma_w2"]
    edge = "none" if pd.isna(chaos) else f"σ_w² = {figures(chaos, 4)}, σ_b² = {figures(constants['sigma_b2'])}"
    return [
        ("Definition", str(constants["definition"])),
        ("Mean output for standard normal input", figures(constants["mean"])),
        ("Gain, and χ there", f"{figures(constants['gain'], 4)}, {figures(constants['chi'])}"),
        ("Edge of chaos", edge),
    ]


def _figure(data: StudyData, name: str, ident: str) -> Figure:
    """Its portrait, then its learning curve on each dataset's deepest networks, within the range of all."""
    cells = _deepest(data, name)[:3]
    portrait = data.tables["portraits"]
    portrait = portrait[portrait["activation"] == name]
    title = f"{name}: graph and learning curves"
    message = (
        f"Left: {name} (solid) and its derivative (dashed). Then its mean validation accuracy over seeds with a 95% "
        "interval (thin lines); dashed: relu; grey band: the middle half of all activations; steps on a log scale. "
        + _ends(data, name, cells)
    )
    with panels(1 + len(cells), 1 + len(cells), 1.9, share=False) as (figure, axes):
        portraits.draw(axes[0], portrait)
        axes[0].set_title("graph")
        for axis, cell in zip(axes[1:], cells, strict=True):
            rows = in_cell(data.curves, cell)
            rows = rows[rows["step"] > 0]
            every = rows.groupby("step")["validation_accuracy"].quantile([0.25, 0.75]).unstack() * 100
            axis.fill_between(every.index, every[0.25], every[0.75], color=BAND, linewidth=0)
            if name != "relu":
                relu = rows[rows["activation"] == "relu"]
                axis.plot(
                    relu["step"], relu["validation_accuracy"] * 100, color=INK, linewidth=1, linestyle=(0, (4, 2))
                )
            own = rows[rows["activation"] == name]
            for end in ("_low", "_high"):
                axis.plot(own["step"], own[f"validation_accuracy{end}"] * 100, color=SERIES[0], linewidth=0.6)
            axis.plot(own["step"], own["validation_accuracy"] * 100, color=SERIES[0])
            axis.set(title=short(cell_name(cell), 36), ylim=(0, 100))
            axis.title.set_fontsize(8)
            log_steps(axis, rows["step"].max(), "training step")
            if own.empty:
                axis.text(0.5, 0.5, "no data", transform=axis.transAxes, ha="center", color=INK)
        if len(axes) > 1:
            axes[1].set_ylabel("validation accuracy (%)", color=MUTED)
        picture = svg(figure, f"figure-{ident}", title, message)
    own = data.curves[data.curves["activation"] == name]
    kept = [*CELL, "step", "n", "validation_accuracy", "validation_accuracy_low", "validation_accuracy_high"]
    return Figure(f"figure-{ident}", title, message, picture, download(f"curves-{ident}", own[kept]))


def _deepest(data: StudyData, name: str) -> list[CellKey]:
    """Its own deepest cell of each dataset (and condition) that has curves."""
    cells = data.curves.loc[data.curves["activation"] == name, CELL].drop_duplicates()
    depths = cells.groupby(["dataset", "condition"], as_index=False)["depth"].max()
    return [(row.dataset, row.depth, row.condition) for row in depths.itertuples()]


def _ends(data: StudyData, name: str, cells: list[CellKey]) -> str:
    said = []
    for cell in cells:
        rows = in_cell(data.curves, cell)
        own = rows[rows["activation"] == name].sort_values("step")
        if len(own):
            said.append(f"{decimals(own['validation_accuracy'].iloc[-1] * 100)}% on {cell_name(cell)}")
    return f"It ends at {plain_list(said)}." if said else "It has no curves."


def _table(data: StudyData, name: str, ident: str, rows: pd.DataFrame) -> Table:
    frame = rows.sort_values(CELL)
    frame = frame.merge(_dead(data, name), on="run", how="left").merge(_slope(data, name), on="run", how="left")
    fields = data.ranking.groupby(CELL)["activation"].size().rename("field").reset_index()
    frame = frame.merge(fields, on=CELL, how="left")
    columns = [
        Column(
            "Dataset and depth",
            lambda row: Cell(cell_name((row["dataset"], row["depth"], row["condition"]))),
            numeric=False,
            heads_row=True,
        ),
        Column("Rank", lambda row: Cell(f"{row['rank']:.0f} of {row['field']}", float(row["rank"]))),
        number("Test accuracy (%)", "test_accuracy", 2, 100),
        interval("95% interval (%)", "test_accuracy", 2),
        Column("Reached the target", lambda row: Cell(f"{row['reached']} of {row['n']}", float(row["reached"]))),
        number("Restricted mean time (steps)", "restricted_time"),
        number("Dead units (%)", "dead", 1, 100),
        number("Gradient slope (decades/layer)", "slope", 3, signed=True),
        number("Learning rate", "learning_rate", 4),
        text("On the edge", "on_edge"),
        number("Diverged", "diverged"),
    ]
    frame["on_edge"] = ["! yes" if edge else "no" for edge in frame["edge"]]
    kept = [*CELL, "rank", "field", "test_accuracy", "test_accuracy_low", "test_accuracy_high", "reached", "n"]
    kept += ["restricted_time", "dead", "slope", "learning_rate", "edge", "diverged"]
    caption = f"{name} in every combination of dataset and depth ({counted(len(frame), 'run')})"
    return Table(f"table-{ident}", caption, columns, frame, download(ident, frame[kept]))


def _dead(data: StudyData, name: str) -> pd.DataFrame:
    health = data.health
    pooled = health[(health["activation"] == name) & (health["layer"] == POOLED)]
    return pooled.sort_values("step").groupby("run", as_index=False).last()[["run", "dead"]]


def _slope(data: StudyData, name: str) -> pd.DataFrame:
    """Negative where gradients shrink towards the input."""
    flow = data.gradients[data.gradients["activation"] == name].sort_values("step")
    first = flow.groupby("run", as_index=False).first()
    return pd.DataFrame({"run": first["run"], "slope": -first["gradient_slope"]})
