"""Whether it pays to scale the initial weights by the data: LSUV beside one gain."""

from __future__ import annotations

import pandas as pd

from activation_study.analysis.experiments import lsuv_effects
from activation_study.core.numbers import decimals
from activation_study.guide.chooser import NEAR
from activation_study.report.blocks import Figure, Paragraph, Section
from activation_study.report.figures.drawing import drawn, mark, name_rows, panels, rows_high
from activation_study.report.figures.theme import MUTED, OTHERS, PAPER, SERIES
from activation_study.report.names import label
from activation_study.report.study_data import StudyData
from activation_study.report.tables import Table, download, interval, number, part, text
from activation_study.report.words import counted

NAME, PART, PLACE = "Scaled starts", "Single questions", 5
FOLDS = True


def section(data: StudyData) -> Section | None:
    effects = lsuv_effects(data.tables["runs"])
    if effects.empty or (effects["dataset"] != "").all():
        return None
    lead = (
        "Initial weights are scaled by a gain, one number per activation, so that the signal keeps its size from "
        "layer to layer. With some activations (SiLU, GELU, Mish) that size is unstable: a small error grows with "
        "each layer. Layer-sequential unit variance (LSUV) divides each layer's weights by the standard deviation of "
        "its own pre-activations on the first batch instead. Both begin from the same random weights."
    )
    return Section(
        "starts", "Scaling the initial weights by the data", [Paragraph(lead), _figure(effects), _table(effects)]
    )


def _figure(effects: pd.DataFrame) -> Figure:
    whole = effects[effects["dataset"] == ""].sort_values("difference", kind="stable", ignore_index=True)
    single = effects[effects["dataset"] != ""]
    message = (
        "Test accuracy with LSUV minus that with the gain, in points, paired by seed: the mean over datasets with its "
        "95% interval, and below it a small ring for each dataset. Blue: the interval excludes zero; nothing is "
        "corrected for there being many activations."
    )
    with panels(1, 1, rows_high(len(whole))) as (figure, (axis,)):
        axis.axvline(0, color=MUTED, linewidth=0.8)
        for y, row in enumerate(whole.to_dict("records")):
            value, low, high = (100 * row[f"difference{end}"] for end in ("", "_low", "_high"))
            estimate, *ends = (decimals(one, 1, signed=True) for one in (value, low, high))
            told = mark(row["activation"], f"{estimate} ({' to '.join(ends)})")
            colour = SERIES[0] if low > 0 or high < 0 else OTHERS
            points = 100 * single.loc[single["activation"] == row["activation"], "difference"]
            axis.plot(points, [y - 0.3] * len(points), "o", color=OTHERS, markerfacecolor=PAPER, markersize=3, **told)
            axis.plot([low, high], [y, y], color=colour, **told)
            axis.plot(value, y, "o", color=colour, markersize=6, **told)
        name_rows(axis, whole["activation"].tolist())
        axis.set_xlabel("points of test accuracy, LSUV minus gain")
        return drawn(figure, "starts", _title(whole), message, download("lsuv", effects))


def _title(whole: pd.DataFrame) -> str:
    """From the differences that matter; where none does, from the intervals that exclude zero."""
    if whole["difference"].abs().max() < NEAR:
        return "Scaling by the data is not shown to matter for accuracy"
    better, worse = (whole["difference_low"] > 0).sum(), (whole["difference_high"] < 0).sum()
    best = label(str(whole.loc[whole["difference"].idxmax(), "activation"]))
    if better > worse:
        return f"Scaling by the data helps {better} of {counted(len(whole), 'activation')}, {best} most"
    if worse:
        return f"Scaling by the data costs {worse} of {counted(len(whole), 'activation')} accuracy"
    return "Scaling by the data changes no activation's accuracy for sure"


def _table(effects: pd.DataFrame) -> Table:
    order = effects[effects["dataset"] == ""].set_index("activation")["difference"]
    frame = effects.assign(dataset=effects["dataset"].replace("", "all"), place=-effects["activation"].map(order))
    frame = frame.sort_values(["place", "activation", "cells", "dataset"], ascending=[True, True, False, True])
    columns = [
        text("Activation", "activation", heads_row=True),
        text("Dataset", "dataset"),
        number("Layers", "depth"),
        number("LSUV minus gain (points)", "difference", 2, 100, signed=True),
        interval("95% interval (points)", "difference", 2, signed=True),
        part("Diverged with the gain", "networks_diverged_gain", "networks_gain"),
        part("Diverged with LSUV", "networks_diverged_lsuv", "networks_lsuv"),
        number("Paired seeds", "n"),
    ]
    caption = "Test accuracy with LSUV against that with the gain, and networks that diverged"
    frame = frame.drop(columns="place").reset_index(drop=True)
    return Table("table-starts", caption, columns, frame, download("lsuv", effects))
