"""All activations against each other: which ranks differ, and who is fast on how many tasks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from activation_study.analysis.inference import ALPHA
from activation_study.analysis.ranks import (
    mean_ranks,
    pairwise_wilcoxon,
    performance_profile,
    profile_score,
    score_table,
    task_times,
)
from activation_study.report.blocks import Block, Figure, Paragraph, Section
from activation_study.report.figures.svg import svg
from activation_study.report.figures.theme import (
    INK,
    MUTED,
    OTHERS,
    SERIES,
    emphasis,
    label_ends,
    panels,
    plain_log,
    short,
)
from activation_study.report.study_data import CELL, StudyData
from activation_study.report.tables import Table, decimals, download, number, significant, text
from activation_study.report.words import counted, plain_list

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
        blocks += [Paragraph(lead), _ranks(complete), _pairs(complete)]
    times = task_times(replicas, tuple(CELL))
    if np.isfinite(times).any(axis=None):
        blocks.append(_profile(data, times))
    return Section("comparisons", "Every activation against every other", blocks) if blocks else None


def _ranks(scores: pd.DataFrame) -> Figure:
    """The critical difference diagram (Demšar 2006, JMLR 7), from Wilcoxon's test with Holm's correction."""
    ranks = mean_ranks(scores).sort_values()
    p = pairwise_wilcoxon(scores)
    groups = _alike(ranks, p)
    first = [name for name in ranks.index if p.loc[ranks.index[0], name] >= ALPHA]
    title = "Mean ranks, and which cannot be told apart"
    message = (
        f"Mean rank of the test accuracy over {counted(len(scores), 'block')} (a seed on a dataset at a depth), 1 "
        f"best. "
        "A bar joins activations of which no two differ by Wilcoxon's signed-rank test at 0.05 after Holm's correction "
        f"over all pairs. Best: {ranks.index[0]}, mean rank {decimals(ranks.iloc[0])}; "
        + (
            f"not told apart from it: {plain_list(first[1:])}."
            if len(first) > 1
            else "every other activation is told apart from it."
        )
    )
    half, levels = -(-len(ranks) // 2), _levels(groups)
    deep = max(levels, default=-1) + 1
    with panels(1, 1, 1.1 + 0.2 * half + 0.09 * deep) as (figure, (axis,)):
        top = 0.9 + 0.45 * deep
        axis.set(xlim=(1 - 0.01 * len(ranks), len(ranks)), ylim=(-half - 0.4 - top + 0.9, 1.2))
        axis.xaxis.tick_top()
        axis.xaxis.set_label_position("top")
        axis.set(xticks=range(1, len(ranks) + 1), yticks=[])
        axis.set_xlabel("mean rank")
        axis.grid(visible=False)
        for side, spine in axis.spines.items():
            spine.set_visible(side == "top")
        for place, (name, rank) in enumerate(ranks.items()):
            left = place < half
            y = -top - (place if left else len(ranks) - 1 - place)
            end = 1 if left else len(ranks)
            colour = SERIES[0] if name in first else OTHERS
            axis.plot([rank, rank, end], [1.2, y, y], color=colour, linewidth=0.9)
            said = f"{short(name)} {decimals(rank)}"
            at = {"va": "center", "fontsize": 8.5, "color": SERIES[0] if name in first else INK}
            axis.annotate(
                said, (end, y), (-4 if left else 4, 0), textcoords="offset points", ha="right" if left else "left", **at
            )
        for level, (low, high) in zip(levels, groups, strict=True):
            _bar(axis, low, high, 0.7 - 0.45 * level)
        picture = svg(figure, "figure-ranks", title, message)
    frame = ranks.rename("mean_rank").reset_index().assign(blocks=len(scores))
    return Figure("figure-ranks", title, message, picture, download("mean_ranks", frame))


def _bar(axis: Axes, low: float, high: float, y: float) -> None:
    axis.plot([low - 0.06, high + 0.06], [y, y], color=INK, linewidth=3.2, solid_capstyle="round", zorder=4)


def _levels(groups: Sequence[tuple[float, float]]) -> list[int]:
    """The first level for each bar on which it touches no earlier one."""
    ends: list[float] = []
    levels = []
    for low, high in groups:
        level = next((place for place, end in enumerate(ends) if low - end > 0.3), len(ends))
        ends[level : level + 1] = [high]
        levels.append(level)
    return levels


def _alike(ranks: pd.Series, p: pd.DataFrame) -> list[tuple[float, float]]:
    """Longest runs of neighbouring ranks in which no two differ, as (first, last) mean rank; single ones left out."""
    names, runs = ranks.index.tolist(), []
    for first in range(len(names)):
        last = first
        while last + 1 < len(names) and (p.loc[names[first : last + 1], names[last + 1]] >= ALPHA).all():
            last += 1
        if last > first and (not runs or last > runs[-1][1]):
            runs.append((first, last))
    return [(ranks.iloc[first], ranks.iloc[last]) for first, last in runs]


def _pairs(scores: pd.DataFrame) -> Table:
    """Every pair once, the more different ones first."""
    ranks, p = mean_ranks(scores), pairwise_wilcoxon(scores)
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
    styles = emphasis(named)
    solved = np.isfinite(times).mean()
    sure = solved[solved == 1].index.tolist()
    title = "Share of tasks that are solved within a multiple of the fastest activation's time"
    message = (
        f"A task is a dataset at a depth ({len(times)} of them); its time is the median over seeds of the steps to the "
        f"target. Higher and further left, on a log scale, is better. By the area under its curve, "
        f"over multiples on a linear scale, {score.index[0]} comes first ({decimals(score.iloc[0], 2)} of 1), then "
        f"{score.index[1]} ({decimals(score.iloc[1], 2)}); last is "
        f"{score.index[-1]} ({decimals(score.iloc[-1], 2)}). {plain_list(sure) or 'None'} reached the target "
        "on every task."
    )
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
        picture = svg(figure, "figure-profile", title, message)
    frame = (
        profile.reset_index().melt(id_vars="tau", var_name="activation", value_name="solved").assign(tasks=len(times))
    )
    return Figure("figure-profile", title, message, picture, download("performance_profile", frame, digits=5))
