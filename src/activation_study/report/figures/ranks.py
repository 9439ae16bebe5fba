"""The critical difference diagram."""

from __future__ import annotations

import pandas as pd
from matplotlib.ticker import MaxNLocator
from scikit_posthocs import critical_difference_diagram

from activation_study.analysis.inference import ALPHA
from activation_study.analysis.ranks import mean_ranks, pairwise_wilcoxon
from activation_study.core.numbers import decimals
from activation_study.report.blocks import Figure
from activation_study.report.figures.drawing import drawn, panels, short
from activation_study.report.figures.theme import INK, MUTED, SERIES
from activation_study.report.names import label
from activation_study.report.tables import download
from activation_study.report.words import counted, plain_list


def critical_differences(
    ident: str, scores: pd.DataFrame, block: str, noun: str = "block", p: pd.DataFrame | None = None
) -> Figure:
    """The critical difference diagram (Demšar 2006, JMLR 7), from Wilcoxon's test with Holm's correction.

    Args:
        ident: the figure's, in the page.
        scores: test accuracy, a row per block and a column per activation.
        block: what a block is, in words.
        noun: what blocks are called.
        p: `pairwise_wilcoxon(scores)` where it is at hand.
    """
    ranks = mean_ranks(scores).sort_values()
    p = pairwise_wilcoxon(scores) if p is None else p
    first = [ranks.index[0], *(name for name in ranks.index[1:] if p.loc[ranks.index[0], name] >= ALPHA)]
    title, message = _said(ranks, first, counted(len(scores), noun), block)
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
        for text in parts["labels"]:  # no-break spaces keep it off its line
            name = text.get_text()
            text.set_text(f"\N{NO-BREAK SPACE}{short(name)} {decimals(ranks[name])}\N{NO-BREAK SPACE}")
        for (bar,) in parts["crossbars"]:  # its activations are a set, whose order changes from process to process
            bar.set_xdata(sorted(bar.get_xdata()))
        lowest = min(text.get_position()[1] for text in parts["labels"])
        figure.set_figheight(0.6 - 0.19 * lowest)
        axis.set(xlim=(ranks.iloc[0] - margin, ranks.iloc[-1] + margin), ylim=(lowest - 0.6, 0), xlabel="mean rank")
        axis.xaxis.set_label_position("top")
        axis.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
        axis.spines["top"].set_visible(True)
        axis.grid(visible=False)
        return drawn(figure, ident, title, message, download(f"mean_{ident}".replace("-", "_"), frame))


def _said(ranks: pd.Series, first: list[str], blocks: str, block: str) -> tuple[str, str]:
    """Title and caption."""
    best, others = label(first[0]), first[1:]
    title = f"{best} ranks first, " + (
        f"not distinguishable from {counted(len(others), 'other')}" if others else "distinguishable from all others"
    )
    message = (
        f"Mean rank of the test accuracy over {blocks} ({block}), 1 best. The dots of a bar are activations of which "
        "no two differ by Wilcoxon's signed-rank test at 0.05 after Holm's correction over all pairs. Best: "
        f"{first[0]}, mean rank {decimals(ranks.iloc[0])}; "
    )
    if others:
        return title, f"{message}not distinguishable from it: {plain_list(others)}."
    return title, f"{message}every other activation is distinguishable from it."
