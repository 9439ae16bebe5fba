"""All activations against each other: which ranks differ, and who is fast on how many tasks."""

from __future__ import annotations

import numpy as np
import pandas as pd

from activation_study.analysis.ranks import (
    mean_ranks,
    pairwise_wilcoxon,
    performance_profile,
    profile_score,
    score_table,
    task_times,
)
from activation_study.analysis.standing import CELL
from activation_study.core.numbers import decimals
from activation_study.report.blocks import Block, Figure, Paragraph, Section
from activation_study.report.figures.drawing import at_right, drawn, mark, name_rows, panels, plain_log, rows_high
from activation_study.report.figures.ranks import critical_differences
from activation_study.report.figures.theme import MUTED, OTHERS, SERIES
from activation_study.report.names import label
from activation_study.report.study_data import StudyData
from activation_study.report.tables import Table, download, number, significant, text
from activation_study.report.words import plain_list

NAME, PART, PLACE = "Pair by pair", "How good, how fast", 20
BLOCK = "a seed on a dataset at a depth"
FOLDS = True
LONGEST = 8.0
"""Multiple of the best activation's time at which the axis ends."""


def section(data: StudyData) -> Section | None:
    replicas = data.compared
    if replicas.empty or len(data.order) < 3:
        return None
    blocks: list[Block] = []
    scores = score_table(replicas, "test_accuracy", tuple(CELL))
    complete = scores.loc[:, scores.notna().any()].dropna()
    if len(complete) > 5:
        lead = (
            "Two descriptions of the same runs, over the combinations of dataset and depth that every activation was "
            "to have. No verdict rests on them: seeds of one dataset are not independent datasets."
        )
        p = pairwise_wilcoxon(complete)
        blocks += [Paragraph(lead), critical_differences("ranks", complete, BLOCK, p=p), _pairs(complete, p)]
    times = task_times(replicas, tuple(CELL))
    if np.isfinite(times).any(axis=None):
        blocks.append(_slow_downs(times))
    if not blocks:
        return None
    brief = "mean ranks with their tests, and slow-downs task by task"
    return Section("comparisons", "Every activation against every other: for specialists", blocks, brief)


def _pairs(scores: pd.DataFrame, p: pd.DataFrame) -> Table:
    """Every pair once, the more different ones first."""
    ranks = mean_ranks(scores)
    order = ranks.sort_values().index
    rows = [
        {
            "better": one,
            "worse": other,
            "rank_difference": ranks[other] - ranks[one],
            "accuracy_difference": (scores[one] - scores[other]).mean(),
            "p": p.loc[one, other],
            "blocks": len(scores),
        }
        for place, one in enumerate(order)
        for other in order[place + 1 :]
    ]
    frame = pd.DataFrame(rows).sort_values(["p", "rank_difference"], ascending=[True, False], ignore_index=True)
    columns = [
        text("Better", "better", heads_row=True),
        text("Worse", "worse"),
        number("Difference of mean ranks", "rank_difference", 2),
        number("Mean difference of test accuracy (points)", "accuracy_difference", 2, 100, signed=True),
        significant("p (Wilcoxon, Holm)", "p", 2),
        number("Blocks", "blocks"),
    ]
    caption = (
        "Every pair of activations, by mean rank of the test accuracy; the test weighs differences by their size, and "
        "may favour the other"
    )
    return Table("table-pairs", caption, columns, frame, download("pairs", frame))


def _slow_downs(times: pd.DataFrame) -> Figure:
    """A row per activation, a dot per task: its time over the fastest activation's."""
    score = profile_score(performance_profile(times, LONGEST)).sort_values(kind="stable")
    ratio = times.div(times.min(axis=1), axis=0)[score.index].dropna(how="all")
    solved = np.isfinite(ratio).mean()
    message = (
        f"A dot per task, a dataset at a depth ({len(ratio)} of them): the median over seeds of the steps to the "
        "target, over those of the task's fastest activation; log scale. Triangle: slower than the axis, or the "
        "target was not reached. Sorted by the area under the performance profile. Reached the target on every "
        f"task: {plain_list(solved.index[solved == 1].tolist()[::-1]) or 'none'}."
    )
    frame = (
        ratio.rename_axis(columns="activation").reset_index().melt(id_vars=list(ratio.index.names), value_name="slower")
    )
    with panels(1, 1, rows_high(len(score))) as (figure, (axis,)):
        for y, name in enumerate(score.index):
            near = ratio[name][ratio[name] <= LONGEST]
            told = mark(str(name), f"at most {decimals(ratio[name].max(), 1)} times")
            axis.plot(near, [y] * len(near), "o", color=SERIES[0], alpha=0.55, markeredgewidth=0, clip_on=False, **told)
            if len(near) < len(ratio):
                axis.plot(LONGEST, y, ">", color=OTHERS, markerfacecolor="none", clip_on=False, **told)
            at_right(axis, 1.1, y, f"{(solved[name] * len(ratio)):z.0f} of {len(ratio)}")
        at_right(axis, 1.1, len(score) - 0.2, "reached", MUTED)
        name_rows(axis, score.index.tolist())
        axis.set(xscale="log", xlim=(1, LONGEST))
        plain_log(axis.xaxis)
        axis.set_xlabel("times the steps of the fastest activation")
        return drawn(figure, "profile", _title(ratio), message, download("slow_downs", frame, digits=5))


def _title(ratio: pd.DataFrame) -> str:
    """From the activation whose worst slow-down is least; inf where it did not reach a target."""
    worst = ratio.max().sort_values(kind="stable")
    if not np.isfinite(worst.iloc[0]):
        return "No activation reaches every task's target"
    return f"{label(str(worst.index[0]))} is never slower than {decimals(worst.iloc[0])} times the fastest"
