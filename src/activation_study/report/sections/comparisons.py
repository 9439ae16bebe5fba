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
from activation_study.report.figures.drawing import drawn, label_ends, panels, plain_log
from activation_study.report.figures.ranks import critical_differences
from activation_study.report.figures.theme import MUTED, OTHERS, looks
from activation_study.report.study_data import StudyData
from activation_study.report.tables import Table, download, number, significant, text
from activation_study.report.words import plain_list

NAME, PART, PLACE = "Pair by pair", "How good, how fast", 20
BLOCK = "a seed on a dataset at a depth"
FOLDS = True
LONGEST = 8.0
"""Multiple of the best activation's time at which the performance profile ends."""


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
        blocks.append(_profile(data, times))
    return Section("comparisons", "Every activation against every other", blocks) if blocks else None


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
    caption = "Every pair of activations, by mean rank of the test accuracy"
    return Table("table-pairs", caption, columns, frame, download("pairs", frame))


def _profile(data: StudyData, times: pd.DataFrame) -> Figure:
    profile = performance_profile(times, LONGEST)
    score = profile_score(profile).sort_values(ascending=False, kind="stable")
    named = list(dict.fromkeys([*score.index[:2], *data.emphasised]))[:5]
    styles = looks(named)
    solved = np.isfinite(times).mean()
    sure = solved[solved == 1].index.tolist()
    title = "Share of tasks that are solved within a multiple of the fastest activation's time"
    message = (
        f"A task is a dataset at a depth ({len(times)} of them); its time is the median over seeds of the steps to the "
        "target. Higher and further left, on a log scale, is better. By the area under its curve, over multiples on a "
        f"linear scale, {score.index[0]} comes first ({decimals(score.iloc[0], 2)} of 1), then {score.index[1]} "
        f"({decimals(score.iloc[1], 2)}); last is {score.index[-1]} ({decimals(score.iloc[-1], 2)}). "
        f"{plain_list(sure) or 'None'} reached the target on every task."
    )
    frame = profile.reset_index().melt(id_vars="tau", var_name="activation", value_name="solved")
    frame = frame.assign(tasks=len(times))
    with panels(1, 1, 3.2) as (figure, (axis,)):
        for name in [*(other for other in profile if other not in named), *reversed(named)]:
            style = styles.get(name)
            look = {"color": style.colour, "linestyle": style.line} if style else {"color": OTHERS, "linewidth": 0.7}
            axis.plot(profile.index, profile[name] * 100, drawstyle="steps-post", zorder=3 if style else 1.5, **look)
        axis.set(xscale="log", xlim=(1, LONGEST), ylim=(0, 102))
        plain_log(axis.xaxis)
        axis.set_xlabel("multiple of the fastest activation's steps to the target (log scale)", color=MUTED)
        axis.set_ylabel("tasks solved (%)")
        label_ends(axis, {name: (LONGEST, profile[name].iloc[-1] * 100) for name in named}, styles)
        return drawn(figure, "profile", title, message, download("performance_profile", frame, digits=5))
