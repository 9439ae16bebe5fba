"""One folded section per activation, with all that the study knows of it."""

from __future__ import annotations

import numpy as np
import pandas as pd
from markupsafe import Markup

from activation_study.analysis.experiments import scores, unit_balance
from activation_study.analysis.standing import CELL
from activation_study.core.numbers import decimals, figures, percent
from activation_study.core.runs import RunId
from activation_study.report.blocks import Block, Facts, Paragraph, Section
from activation_study.report.markup import slugs
from activation_study.report.study_data import StudyData, cell_name
from activation_study.report.tables import (
    MOST_ROWS,
    Cell,
    Column,
    Row,
    Table,
    download,
    flag,
    interval,
    number,
    part,
    significant,
    text,
)
from activation_study.report.words import code, counted, plain_list, standing

NAME, PART, PLACE = "One by one", "To look up", 20
MOST_TOGETHER, FEWEST = 1_000, 10
"""Rows of all these tables up to which each shows MOST_ROWS; of more, the fewest that each shows."""
BUDGET = ("steps", "rates", "select", "evaluation_seeds", "tuning_seeds", "seed_stream")
"""Factors that say how a run was made, not what it asks."""


def section(data: StudyData) -> Section | None:
    ids = identifiers(data)
    if not ids:
        return None
    core, others = _core(data), _others(data)
    most = MOST_ROWS if len(core) + len(others) <= MOST_TOGETHER else max(FEWEST, MOST_TOGETHER // len(ids))
    about = [_one(data, name, ident, core, others, most) for name, ident in ids.items()]
    lead = "In the order of the ranking; each folds open, and has an address of its own."
    return Section("profiles", "Activation by activation", [Paragraph(lead), *about])


def identifiers(data: StudyData) -> dict[str, str]:
    """The id of every activation's section, in the order of the ranking, then of the alphabet."""
    trained = data.tables["runs"]["activation"].drop_duplicates().sort_values().tolist()
    names = [*data.order, *(name for name in trained if name not in data.order)]
    found = slugs(names)
    return {name: f"activation-{found[name]}" for name in names}


def _core(data: StudyData) -> pd.DataFrame:
    """One row per run of the ranking, with its units and gradients."""
    layers = data.tables["layers"]
    balance = unit_balance(layers[layers["run"].isin(data.ranking["run"])], data.runs).sort_values("step")
    units = balance.groupby("run", as_index=False)[["dead", "unusable_01"]].last()
    first = data.gradients.sort_values("step").drop_duplicates("run")
    slope = pd.DataFrame({"run": first["run"], "slope": -first["gradient_slope"]})
    fields = data.ranking.groupby(CELL)["activation"].size().rename("field").reset_index()
    frame = data.ranking.merge(fields, on=CELL, how="left").merge(units, on="run", how="left")
    return frame.merge(slope, on="run", how="left").sort_values(CELL, ignore_index=True)


def _others(data: StudyData) -> pd.DataFrame:
    """One row per run outside the ranking, with the experiments that asked for it and what it asks."""
    runs = data.tables["runs"]
    table = scores(runs[~runs["run"].isin(data.runs["run"])])
    asked = data.tables["experiments"].groupby("run")["experiment"].agg(lambda names: ", ".join(sorted(set(names))))
    return table.assign(
        experiments=table["run"].map(asked).fillna(""), condition=[_condition(run) for run in table["run"]]
    ).sort_values(["experiments", "condition", "dataset"], ignore_index=True)


def _condition(run: str) -> str:
    """The factors that are not at their default, in words: "5 layers, initial_bias −1"."""
    factors = RunId.read(run).without(*BUDGET).factors
    return ", ".join([f"{factors.pop('depth')} layers", *(f"{name} {value}" for name, value in factors.items())])


def _one(data: StudyData, name: str, ident: str, core: pd.DataFrame, others: pd.DataFrame, most: int) -> Section:
    rows, elsewhere = core[core["activation"] == name], others[others["activation"] == name]
    compared = name in data.order
    said = standing(data, name) if compared else Markup("{} was trained in single experiments only.").format(code(name))
    blocks: list[Block] = [Paragraph(said), *(_gaps(data, name, rows) if compared else [])]
    facts = [*_constants(data, name), *_costs(data, name)]
    if facts:
        blocks.append(Facts(facts))
    if len(rows):
        blocks.append(_table(name, ident, rows, most))
    if len(elsewhere):
        blocks.append(_other_table(name, ident, elsewhere, most))
    return Section(ident, name, blocks, brief=_brief(data, name))


def _brief(data: StudyData, name: str) -> str:
    place = data.order.index(name) if name in data.order else None
    if place is None:
        return "single experiments only"
    accuracy = data.overall["accuracy"].iloc[place]
    complete = int(data.overall["accuracy"].notna().sum())
    return "not ranked" if pd.isna(accuracy) else f"place {place + 1} of {complete}, {percent(accuracy)}"


def _gaps(data: StudyData, name: str, rows: pd.DataFrame) -> list[Paragraph]:
    has = {tuple(row) for row in rows[CELL].itertuples(index=False)}
    lacking = [cell_name(cell) for cell in data.cells if cell not in has]
    said = Markup("<strong>Gap.</strong> {} has no results for {}.").format(code(name), plain_list(lacking))
    return [Paragraph(said, "gap")] if lacking else []


def _constants(data: StudyData, name: str) -> list[tuple[str, str | Markup]]:
    found = data.tables["activations"]
    found = found[found["activation"] == name]
    if found.empty:
        return []
    own = found.iloc[0]
    chaos = own["sigma_w2"]
    edge = "none" if pd.isna(chaos) else f"σ_w² = {figures(chaos, 4)}, σ_b² = {figures(own['sigma_b2'])}"
    nature = [word for word, true in (("learns", own["learnable"]), ("random in training", own["stochastic"])) if true]
    return [
        ("In the config", Markup("<code>{}</code>").format(name)),
        ("Definition", str(own["definition"]) + (f" ({', '.join(nature)})" if nature else "")),
        ("Mean output for standard normal input", figures(own["mean"])),
        ("Gain, and χ there", f"{figures(own['gain'], 4)}, {figures(own['chi'])}"),
        ("Steepest slope", figures(own["slope_max"])),
        ("Edge of chaos", edge),
    ]


def _costs(data: StudyData, name: str) -> list[tuple[str, str]]:
    cost = data.tables["cost"]
    steps = cost[(cost["activation"] == name) & (cost["quantity"] == "step")].sort_values("width")
    said = [
        f"{decimals(row['ratio_to_relu'], 2)} at width {row['width']:,}"
        + (
            ""
            if pd.isna(row["ratio_low"])
            else f" ({decimals(row['ratio_low'], 2)} to {decimals(row['ratio_high'], 2)})"
        )
        for row in steps.to_dict("records")
    ]
    return [("Time of a training step over ReLU's", "; ".join(said))] if said else []


def _cell(row: Row) -> Cell:
    return Cell(cell_name((row["dataset"], row["depth"], row["condition"])))


def _mean_time(row: Row) -> Cell:
    return Cell(decimals(np.exp(row["log_time"]), 0), float(row["log_time"]))


def _table(name: str, ident: str, rows: pd.DataFrame, most: int) -> Table:
    columns = [
        Column("Dataset and depth", _cell, numeric=False, heads_row=True),
        part("Rank", "rank", "field"),
        number("Test accuracy (%)", "test_accuracy", 2, 100),
        interval("95% interval (%)", "test_accuracy", 2),
        part("Reached the target", "reached", "n"),
        number("Restricted mean time (steps)", "restricted_time"),
        number("Dead units (%)", "dead", 1, 100),
        number("Unusable at 0.01 (%)", "unusable_01", 1, 100),
        number("Gradient slope (decades/layer)", "slope", 3, signed=True),
        significant("Learning rate", "learning_rate"),
        flag("On the edge", "edge", "! yes"),
        number("Diverged", "diverged"),
    ]
    kept = [*CELL, "rank", "field", "test_accuracy", "test_accuracy_low", "test_accuracy_high", "reached", "n"]
    kept += ["restricted_time", "dead", "unusable_01", "slope", "learning_rate", "edge", "diverged"]
    caption = f"{name} in every combination of dataset and depth ({counted(len(rows), 'run')})"
    return Table(f"table-{ident}", caption, columns, rows, download(ident, rows[kept]), most)


def _other_table(name: str, ident: str, rows: pd.DataFrame, most: int) -> Table:
    columns = [
        text("Experiment", "experiments", heads_row=True),
        text("Condition", "condition"),
        text("Dataset", "dataset"),
        number("Test accuracy (%)", "test_accuracy", 2, 100),
        interval("95% interval (%)", "test_accuracy", 2),
        Column("Mean time (steps)", _mean_time),
        part("Reached the target", "reached", "n"),
        significant("Learning rate", "learning_rate"),
        number("Diverged", "diverged"),
    ]
    kept = ["experiments", "condition", "dataset", "test_accuracy", "test_accuracy_low", "test_accuracy_high"]
    kept += ["log_time", "reached", "n", "learning_rate", "diverged"]
    caption = f"{name} in the single experiments; times are geometric means, at most the budget"
    return Table(f"table-elsewhere-{ident}", caption, columns, rows, download(f"elsewhere-{ident}", rows[kept]), most)
