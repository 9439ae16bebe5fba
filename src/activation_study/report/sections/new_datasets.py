"""What many datasets say of a new one."""

from __future__ import annotations

import numpy as np
import pandas as pd

from activation_study.analysis.inference import ALPHA
from activation_study.analysis.new_datasets import ALL, heterogeneity, means
from activation_study.core.numbers import decimals
from activation_study.report.blocks import Block, Figure, Paragraph, Section
from activation_study.report.figures.drawing import at_right, drawn, name_rows, panels, reach
from activation_study.report.figures.ranks import critical_differences
from activation_study.report.figures.theme import MUTED, OTHERS, SERIES
from activation_study.report.outlook import outlook
from activation_study.report.sections.regret import NAMES
from activation_study.report.study_data import StudyData
from activation_study.report.tables import Table, download, interval, number, part, significant, text
from activation_study.report.words import counted, fitting, plain_list

NAME, PART, PLACE = "New datasets", "The answer", 35
CONDITION = {ALL: "all networks"}


def section(data: StudyData) -> Section | None:
    if not len(data.sampled):
        return None
    by_dataset = means(data.sampled)
    lead = (
        f"{len(by_dataset)} datasets are enough to stand for others, if a new one is of their kind: here the dataset "
        "is what varies at random, and its value is the mean over its networks. A 95% interval for the mean says what "
        "to expect over many such datasets; the one for a new dataset, which is wider, what to expect on one. "
        "Between two activations much of the spread is of datasets, so that more seeds would hardly narrow either."
    )
    blocks: list[Block] = [Paragraph(outlook(data)), Paragraph(lead), _figure(data), _effects(data.effects)]
    blocks += [_policies(data.policies)]
    blocks.append(critical_differences("dataset-ranks", by_dataset, "each its mean over networks and seeds", "dataset"))
    known = data.tables["datasets"]
    if set(by_dataset.index) <= set(known["dataset"]):
        found = heterogeneity(data.sampled, known)
        blocks += [Paragraph(_traits_text(found)), _traits(found)]
    return Section("new-datasets", "What to expect on a new dataset", blocks)


def _figure(data: StudyData) -> Figure:
    rows = data.effects[data.effects["condition"] == ALL].sort_values("difference", ignore_index=True)
    values = 100 * means(data.sampled)
    values = values.sub(values["relu"], axis=0)
    ends = 100 * rows[["new_low", "new_high"]]
    shown = reach(-ends["new_low"].clip(upper=0)), reach(ends["new_high"].clip(lower=0))
    narrow = rows.loc[(rows["new_high"] - rows["new_low"]).idxmin()]
    message = (
        f"A grey dot is one of {len(values)} datasets. Thick bar: 95% interval of the mean over datasets; thin: 95% "
        f"for a new one. {_sure(rows)} Most alike on all datasets: {narrow['activation']}, "
        f"{decimals(100 * narrow['new_low'], signed=True)} to {decimals(100 * narrow['new_high'], signed=True)} points "
        "on a new one. Dots and bars end at the axis."
    )
    with panels(1, 1, 0.8 + 0.27 * len(rows)) as (figure, (axis,)):
        axis.axvline(0, color=MUTED, linewidth=0.8)
        for y, row in rows.iterrows():
            colour = SERIES[0] if row["p_holm"] < ALPHA else OTHERS
            own = values[row["activation"]].clip(-shown[0], shown[1])
            axis.plot(own, np.full(len(own), y), "o", color=OTHERS, markersize=3, alpha=0.5)
            for which, width in (("new", 1.0), ("difference", 3.2)):
                bar = np.clip([100 * row[f"{which}_{end}"] for end in ("low", "high")], -shown[0], shown[1])
                axis.plot(bar, [y, y], color=colour, linewidth=width, solid_capstyle="butt")
            axis.plot(np.clip(100 * row["difference"], -shown[0], shown[1]), y, "D", color=colour, markersize=5)
            at_right(axis, 1.09, y, decimals(100 * row["difference"], 2, signed=True))
        name_rows(axis, rows["activation"], pad=8)
        axis.set(xlim=(-shown[0] * 1.04, shown[1] * 1.04), ylim=(-0.6, len(rows) - 0.4))
        axis.set_xlabel("difference from relu, percentage points of test accuracy")
        axis.grid(axis="y", visible=False)
        return drawn(
            figure,
            "new-datasets",
            _title(rows, len(values)),
            message,
            download("accuracy_by_dataset", values.reset_index()),
        )


def _title(rows: pd.DataFrame, datasets: int) -> str:
    """From the differences that are shown over datasets."""
    higher = rows[(rows["p_holm"] < ALPHA) & (rows["difference"] > 0)].sort_values("difference", ascending=False)
    if higher.empty:
        return f"Over {datasets} datasets none is shown to beat relu"
    return fitting(
        f"Over {datasets} datasets {plain_list(higher['activation'].tolist())} beat{'s' * (len(higher) == 1)} relu",
        f"Over {datasets} datasets {counted(len(higher), 'activation')} beat relu, {higher['activation'].iloc[0]} most",
    )


def _sure(rows: pd.DataFrame) -> str:
    sure = rows.loc[rows["p_holm"] < ALPHA, "activation"].tolist()
    return (
        f"Distinguishable from relu over datasets: {plain_list(sure[::-1])} (blue)."
        if sure
        else "None is shown to differ."
    )


def _effects(effects: pd.DataFrame) -> Table:
    frame = effects.assign(networks=[CONDITION.get(name, name) for name in effects["condition"]])
    columns = [
        text("Networks", "networks"),
        text("Activation", "activation", heads_row=True),
        number("Mean difference from relu (points)", "difference", 2, 100, signed=True),
        interval("95% interval (points)", "difference", 2, signed=True),
        interval("95% for a new dataset (points)", "new", 2, signed=True),
        number("Sd over datasets (points)", "sd", 2, 100),
        number("of which noise of seeds (points)", "noise", 2, 100),
        part("Better than relu", "better", "datasets"),
        part("Foreseen by the others", "covered", "datasets"),
        significant("p (t, Holm)", "p_holm", 2),
    ]
    caption = (
        "Every activation against relu, with the dataset as what varies at random; foreseen: datasets within the 95% "
        "interval for a new one that the other datasets give"
    )
    return Table("table-new-datasets", caption, columns, frame, download("effects_over_datasets", effects))


def _policies(policies: pd.DataFrame) -> Table:
    keys = zip(policies["policy"], policies["budget"], strict=True)
    frame = policies.assign(said=[NAMES.get(key, key[0]) for key in keys])
    columns = [
        text("Policy", "said", heads_row=True),
        text("Budget", "budget"),
        number("Cost (of tuning ReLU)", "spent", 1),
        number("Mean regret (points)", "regret", 2, 100, signed=True),
        interval("95% interval (points)", "regret", 2, signed=True),
        interval("95% for a new dataset (points)", "new", 2, signed=True),
        number("Worst dataset (points)", "worst", 2, 100, signed=True),
        text("Which", "worst_on"),
        number("Less than ReLU alone (points)", "saved", 2, 100, signed=True),
        interval("95% interval (points)", "saved", 2, signed=True),
        part("Foreseen by the others", "covered", "datasets"),
    ]
    count = int(policies["datasets"].iloc[0])
    caption = (
        "What following a policy costs on a dataset it has learnt nothing from: points of test accuracy lost to the "
        "best of all activations on tuning seeds. Where regrets are skewed the worst says more than the t interval: a "
        f"new dataset's exceeds it with a probability of at most 1 in {count + 1}"
    )
    return Table("table-new-policies", caption, columns, frame, download("regret_over_datasets", policies))


def _traits_text(found: pd.DataFrame) -> str:
    sure = found[found["p_holm"] < ALPHA]
    told = [
        f"{row['activation']} with {row['trait']} ({decimals(row['rho'], 2, signed=True)})"
        for _, row in sure.iterrows()
    ]
    seen = f"These do: {plain_list(told)}." if told else "None does beyond what chance gives."
    return (
        "Do differences from relu go with what is known of a dataset? Exploratory, by Spearman's rank correlation over "
        f"{found['datasets'].iloc[0]} datasets, with Holm's correction over all {len(found)}. {seen}"
    )


def _traits(found: pd.DataFrame) -> Table:
    frame = found.sort_values(["p", "activation"], ignore_index=True)
    columns = [
        text("Activation", "activation", heads_row=True),
        text("Goes with the number of", "trait"),
        number("Rank correlation", "rho", 2, signed=True),
        significant("p", "p", 2),
        significant("p (Holm)", "p_holm", 2),
        number("Datasets", "datasets"),
    ]
    caption = "Differences from relu and what is known of a dataset; exploratory, no verdict rests on it"
    return Table("table-traits", caption, columns, frame, download("heterogeneity", found))
