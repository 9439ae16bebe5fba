"""What following a guide costs: policy regret, dataset by dataset."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from activation_study.analysis.policies import (
    COMPARED,
    MUCH_DATA,
    PROMISING,
    by_dataset,
    conditional_regret,
    ranges,
)
from activation_study.analysis.situations import OVERFITTING
from activation_study.core.numbers import decimals
from activation_study.report.blocks import Block, Figure, Paragraph, Section
from activation_study.report.figures.drawing import Look, drawn, name_rows, panels, short
from activation_study.report.figures.theme import INK, MUTED, OTHERS, SERIES
from activation_study.report.study_data import StudyData
from activation_study.report.tables import Column, Table, download, flag, interval, number, text
from activation_study.report.words import plain_list

NAME, PART, PLACE = "What a guide costs", "The answer", 30
SHOWS = ("core.",)
NAMES = {
    ("step 1", "any"): "ReLU alone (step 1)",
    ("step 2", "low"): "ReLU, then Leaky ReLU (step 2)",
    ("step 2", "high"): "ReLU, then ELU (step 2)",
    ("step 2, fixed target", "high"): "the same, going on below the fixed target",
    ("step 3", "high"): "compare as step 3 says",
    ("guide", "any"): "best elsewhere at this depth",
    ("guide, compared", "high"): f"the best {COMPARED} elsewhere, compared",
    ("best fixed", "any"): "best elsewhere at all depths",
    ("random", "any"): "any one, at random",
    ("random pair", "low"): "any two, at random, compared",
    ("reference", "high"): "all compared (the reference)",
}
"""Policies in the order of the figure, in words."""
ENDS = {"lowest": "low", "highest": "high"}


def section(data: StudyData) -> Section | None:
    table = by_dataset(data.regret)
    if table.empty or len(data.sampled):  # of datasets enough for intervals, `new_datasets` tells
        return None
    datasets = [name for name in table if name not in ("policy", "budget", "cells", "spent", "mean", "worst")]
    table = table.assign(
        said=[
            NAMES.get((row["policy"], row["budget"]), row["policy"])
            for row in table[["policy", "budget"]].to_dict("records")
        ]
    )
    lead = (
        "A policy says which activations to tune; of those it takes the one that is best on the tuning seeds' "
        "validation samples. Its regret is the test accuracy of the best of all activations on tuning seeds, minus "
        "that of its pick. That reference is itself chosen on tuning seeds, so a policy can beat it (below 0). "
        "“Elsewhere” is on the other datasets: policies that learn were given those alone. "
        f"{len(datasets)} datasets allow no interval, so each is shown."
        if len(datasets) > 1
        else "A policy's regret: test accuracy of the best activation on tuning seeds, minus that of its pick."
    )
    lead += " Beside each regret stands its range when any one seed is left out."
    table = _with_ranges(table, data.regret)
    budget = (
        "The cost counts networks tuned, in units of tuning ReLU: each activation by the time of its training step "
        "over ReLU's." + _second_step(data.regret)
    )
    blocks: list[Block] = [Paragraph(lead), Paragraph(budget), _figure(table, datasets), _table(table, datasets)]
    conditions = conditional_regret(data.tables, [name for name in (data.experiment, "data_size") if name])
    if len(conditions):
        blocks += [Paragraph(_conditions_text(conditions)), _conditions(conditions)]
    else:
        missing = (
            "The third step's conditions, over-fitting and much data, cannot be judged: no cell has PReLU and RReLU."
        )
        blocks.append(Paragraph(missing, "gap"))
    return Section("regret", "What following a guide costs", blocks)


def _with_ranges(table: pd.DataFrame, regret: pd.DataFrame) -> pd.DataFrame:
    """With each dataset's range without one seed, the mean regret of what trained, diverged networks and seeds."""
    keys = ["policy", "budget"]
    found = ranges(regret)
    parts = [found["trained"].groupby(keys).mean(), found[["diverged", "n"]].groupby(keys).sum()]
    for end in ("lowest", "highest"):
        parts.append(found[end].unstack("dataset").add_prefix("without_seed_").add_suffix(f"_{ENDS[end]}"))
    return table.merge(pd.concat(parts, axis=1).reset_index(), on=keys, how="left")


def _second_step(regret: pd.DataFrame) -> str:
    """How often trying a second activation changes what is picked."""
    second = regret[regret["policy"] == "step 2"]
    said = []
    for budget, name in (("low", "Leaky ReLU"), ("high", "ELU")):
        picks = second.loc[second["budget"] == budget, "pick"]
        if len(picks):
            said.append(f"going on to {name} changes the pick in {(picks != 'relu').sum()} of {len(picks)} cells")
    return f" Where ReLU is below {PROMISING:.0%} of its best on the dataset, {plain_list(said)}." if said else ""


def _figure(table: pd.DataFrame, datasets: list[str]) -> Figure:
    """The loss on each policy's worst dataset; those on all of them as numbers beside it."""
    names = {name: place for place, name in enumerate(NAMES)}
    shown = table[[key in names for key in zip(table["policy"], table["budget"], strict=True)]]
    shown = shown[shown["policy"] != "reference"].dropna(subset="worst")
    order = [names[key] for key in zip(shown["policy"], shown["budget"], strict=True)]
    shown = shown.assign(order=order).sort_values("order", ascending=False, ignore_index=True)
    message = (
        "Points of test accuracy lost to the best of all activations on tuning seeds, mean over depths; left is "
        "better. Dot: on the dataset where most is lost; bar: its range when any one seed is left out; blue: the "
        "article's steps. Numbers: every dataset. Below 0 the pick did better than that best."
    )
    with panels(1, 1, 0.7 + 0.24 * len(shown)) as (figure, (axis,)):
        axis.axvline(0, color=MUTED, linewidth=0.8)
        for y, row in enumerate(shown.to_dict("records")):
            colour = SERIES[0] if row["policy"].startswith("step ") else OTHERS
            most = str(shown.loc[y, datasets].astype(float).idxmax())
            without = [100 * row[f"without_seed_{most}_{end}"] for end in ENDS.values()]
            axis.plot(without, [y, y], color=colour, linewidth=3, solid_capstyle="butt")
            axis.plot(100 * row["worst"], y, "o", color=colour, markersize=5)
            for place, name in enumerate(datasets):
                _beside(axis, place, y, decimals(100 * row[name]), INK if name == most else MUTED)
        for place, name in enumerate(datasets):
            _beside(axis, place, len(shown) - 0.3, short(name, 14), MUTED)
        name_rows(axis, shown["said"].tolist(), pad=8, most=44)
        axis.set_xlabel("points of test accuracy lost on the worst dataset")
        axis.tick_params(length=0)
        axis.grid(axis="y", visible=False)
        held = download("policy_regret", table.drop(columns="said"))
        return drawn(figure, "regret", _title(shown), message, held)


def _beside(axis: Axes, column: int, y: float, said: str, colour: str) -> None:
    """A number in a column of a fixed width at the right of the axis, at `y` in data units."""
    at: Look = {"xycoords": axis.get_yaxis_transform(), "textcoords": "offset points", "ha": "right", "va": "center"}
    axis.annotate(said, (1, y), (66 * column + 50, 0), color=colour, annotation_clip=False, **at)


def _title(shown: pd.DataFrame) -> str:
    """From the policy that loses least at worst; columns said, policy, worst."""
    least = shown.loc[shown["worst"].idxmin()]
    lost = decimals(100 * least["worst"])
    whose = "The article's best step" if least["policy"].startswith("step ") else "The best rule"
    return f"{whose} loses {lost} points on its worst dataset"


def _table(table: pd.DataFrame, datasets: list[str]) -> Table:
    columns = [
        text("Policy", "said", heads_row=True),
        text("Budget", "budget"),
        number("Cost (of tuning ReLU)", "spent", 1),
        *(column for name in datasets for column in _of_dataset(name)),
        number("Mean (points)", "mean", 1, 100, signed=True),
        number("Worst dataset (points)", "worst", 1, 100, signed=True),
        number("Mean of what trained (points)", "trained", 1, 100, signed=True),
        number("Diverged", "diverged"),
        number("Seeds", "n"),
        number("Cells", "cells"),
    ]
    caption = (
        "Regret of every policy: points of test accuracy lost, mean over a dataset's depths; “always” tunes one "
        "activation. One with fewer cells was not trained everywhere and is not comparable. Diverged: networks of the "
        "pick and of the best that did not train, and count as guessing"
    )
    return Table("table-regret", caption, columns, table, download("policy_regret", table.drop(columns="said")))


def _of_dataset(name: str) -> tuple[Column, Column]:
    return (
        number(f"{name} (points)", name, 1, 100, signed=True),
        interval(f"{name}, without one seed (points)", f"without_seed_{name}", 1, 100, signed=True),
    )


def _conditions_text(rows: pd.DataFrame) -> str:
    """What the two conditions of the third step buy, in numbers."""
    said = [
        _gain(rows, "much_data", "with_prelu", "PReLU", f"more than {MUCH_DATA:,} samples", "fewer"),
        _gain(rows, "overfitting", "with_rrelu", "RReLU", "over-fitting", "no over-fitting"),
    ]
    return (
        f"The third step's conditions: much data means more than {MUCH_DATA:,} training samples, over-fitting that "
        f"ReLU's accuracy is more than {100 * OVERFITTING:.0f} points higher on training than on validation samples. "
        + " ".join(said)
    )


def _gain(rows: pd.DataFrame, condition: str, column: str, name: str, held: str, not_held: str) -> str:
    gain = 100 * (rows["without"] - rows[column])
    parts = []
    for value, words in ((True, held), (False, not_held)):
        own = gain[rows[condition] == value]
        parts.append(
            f"{decimals(own.mean(), 1, signed=True)} points with {words} ({len(own)} cells)" if len(own) else ""
        )
    return f"Comparing {name} as well gains on average {plain_list(list(filter(None, parts)))}."


def _conditions(rows: pd.DataFrame) -> Table:
    frame = rows.sort_values(["dataset", "depth", "samples"], ignore_index=True)
    columns = [
        text("Dataset", "dataset", heads_row=True),
        number("Layers", "depth"),
        number("Training samples", "samples"),
        flag("Much data", "much_data"),
        number("ReLU's gap (points)", "gap", 1, 100, signed=True),
        flag("Over-fitting", "overfitting"),
        number("ReLU, Leaky ReLU, ELU (points)", "without", 1, 100, signed=True),
        number("with PReLU (points)", "with_prelu", 1, 100, signed=True),
        number("with RReLU (points)", "with_rrelu", 1, 100, signed=True),
        number("as the article says (points)", "article", 1, 100, signed=True),
        number("Seeds", "n"),
    ]
    caption = "Regret (points of test accuracy) of comparing three activations, and of adding PReLU or RReLU to them"
    return Table("table-regret-conditions", caption, columns, frame, download("policy_regret_conditions", frame))
