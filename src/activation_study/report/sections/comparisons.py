"""All activations against each other: which ranks differ, and who is fast on how many tasks."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator
from scikit_posthocs import critical_difference_diagram

from activation_study.analysis.inference import ALPHA
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
from activation_study.report.figures.drawing import drawn, label_ends, panels, plain_log, short
from activation_study.report.figures.theme import INK, MUTED, OTHERS, SERIES, emphasis
from activation_study.report.study_data import StudyData
from activation_study.report.tables import Table, download, number, significant, text
from activation_study.report.words import counted, plain_list

NAME, PART, PLACE = "Pair by pair", "How good, how fast", 20
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
        blocks += [Paragraph(lead), _ranks(complete, p), _pairs(complete, p)]
    times = task_times(replicas, tuple(CELL))
    if np.isfinite(times).any(axis=None):
        blocks.append(_profile(data, times))
    return Section("comparisons", "Every activation against every other", blocks) if blocks else None


def _ranks(scores: pd.DataFrame, p: pd.DataFrame) -> Figure:
    """The critical difference diagram (Demšar 2006, JMLR 7), from Wilcoxon's test with Holm's correction."""
    ranks = mean_ranks(scores).sort_values()
    first = [name for name in ranks.index if p.loc[ranks.index[0], name] >= ALPHA]
    title = "Mean ranks, and which are not distinguishable"
    message = (
        f"Mean rank of the test accuracy over {counted(len(scores), 'block')} (a seed on a dataset at a depth), 1 "
        "best. The dots of a bar are activations of which no two differ by Wilcoxon's signed-rank test at 0.05 after "
        f"Holm's correction over all pairs. Best: {ranks.index[0]}, mean rank {decimals(ranks.iloc[0])}; "
        + (
            f"not distinguishable from it: {plain_list(first[1:])}."
            if len(first) > 1
            else "every other activation is distinguishable from it."
        )
    )
    frame = ranks.rename("mean_rank").reset_index().assign(blocks=len(scores))
    margin = 0.02 * len(ranks)
    with panels(1, 1, 1) as (figure, (axis,)):
        parts = critical_difference_diagram(
            ranks,
            p,
            alpha=ALPHA,
            ax=axis,
            label_fmt_left="{label}",
            label_fmt_right="{label}",
            color_palette={name: SERIES[0] if name in first else MUTED for name in ranks.index},
            text_h_margin=margin,
            label_props={"fontsize": 8.5},
            marker_props={"s": 12, "clip_on": False},
            elbow_props={"linewidth": 0.9},
            crossbar_props={"color": INK, "linewidth": 2.4, "marker": "o", "markersize": 4.5, "clip_on": False},
        )
        for label in parts["labels"]:  # no-break spaces keep it off its line
            name = label.get_text()
            label.set_text(f"\N{NO-BREAK SPACE}{short(name)} {decimals(ranks[name])}\N{NO-BREAK SPACE}")
        for (bar,) in parts["crossbars"]:  # its activations are a set, whose order changes from process to process
            bar.set_xdata(sorted(bar.get_xdata()))
        lowest = min(label.get_position()[1] for label in parts["labels"])
        figure.set_figheight(0.6 - 0.19 * lowest)
        axis.set(xlim=(ranks.iloc[0] - margin, ranks.iloc[-1] + margin), ylim=(lowest - 0.6, 0), xlabel="mean rank")
        axis.xaxis.set_label_position("top")
        axis.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
        axis.spines["top"].set_visible(True)
        axis.grid(visible=False)
        return drawn(figure, "ranks", title, message, download("mean_ranks", frame))


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
    styles = emphasis(named)
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
