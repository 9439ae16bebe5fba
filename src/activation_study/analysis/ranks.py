"""Descriptive comparison of many activations: ranks, profiles, critical differences. No verdict rests on it.

`scores` is a table with one row per block (a cell and a replicate, whose seeds are paired) and one column per
activation; larger is better. A block that some activation lacks is left out, since ranks are among the same.
"""

from itertools import combinations

import numpy as np
import pandas as pd
from scipy import stats

from activation_study.analysis.inference import holm


def score_table(runs: pd.DataFrame, metric: str, cell: tuple[str, ...] = ("dataset", "depth")) -> pd.DataFrame:
    """`metric` of evaluation replicas, one row per cell and replicate, one column per activation."""
    return runs.pivot(index=[*cell, "replicate"], columns="activation", values=metric)


def mean_ranks(scores: pd.DataFrame) -> pd.Series:
    """Each activation's mean rank over the complete blocks, 1 best, ties averaged."""
    return scores.dropna().rank(axis=1, ascending=False).mean()


def pairwise_wilcoxon(scores: pd.DataFrame) -> pd.DataFrame:
    """Holm-adjusted p-values of all pairwise Wilcoxon signed-rank tests, activation × activation.

    The diagonal is 1. With `mean_ranks` it is what `scikit_posthocs.critical_difference_diagram` draws. Not
    Nemenyi's test, whose answer on a pair depends on who else takes part (Benavoli et al. 2016, JMLR 17).
    """
    complete = scores.dropna()
    pairs = list(combinations(scores.columns, 2))
    adjusted = holm([_wilcoxon(complete[a] - complete[b]) for a, b in pairs])
    table = pd.DataFrame(1.0, index=scores.columns, columns=scores.columns)
    for (a, b), p in zip(pairs, adjusted, strict=True):
        table.loc[a, b] = table.loc[b, a] = p
    return table


def _wilcoxon(differences: pd.Series) -> float:
    if not differences.any():
        return 1.0
    return float(stats.wilcoxon(differences, zero_method="wilcox").pvalue)


def task_times(runs: pd.DataFrame, cell: tuple[str, ...] = ("dataset", "depth")) -> pd.DataFrame:
    """Median steps to the target of evaluation replicas, task (cell) × activation.

    It is inf where most replicas never reach it, and NaN for a combination that was not run.
    """
    time = runs["time_to_target"].where(runs["reached"].eq(True), np.inf)
    return time.groupby([runs[name] for name in (*cell, "activation")]).median().unstack("activation")


def performance_profile(times: pd.DataFrame, longest: float = 4.0) -> pd.DataFrame:
    """ρ(τ): the share of tasks that an activation solves within τ times the best activation's time.

    `times` [tasks × activations] are those of `task_times`; below one step counts as one. Returns a step
    function: index τ, from 1 to `longest` with every point where some ρ rises, one column per activation. A
    task that nobody solves counts as solved by nobody; one that an activation did not run leaves its
    denominator. Dolan and Moré 2002; Dahl et al. 2023 (AlgoPerf).
    """
    times = times.clip(lower=1)
    ratios = times.div(times.min(axis=1), axis=0).where(np.isfinite(times), np.inf).where(times.notna())
    seen = ratios.to_numpy().ravel()
    taus = np.unique([1.0, *seen[seen <= longest], longest])
    within = pd.DataFrame(
        {name: [(ratio.dropna() <= tau).mean() for tau in taus] for name, ratio in ratios.items()}, index=taus
    )
    return within.rename_axis("tau")


def profile_score(profile: pd.DataFrame) -> pd.Series:
    """The mean of ρ(τ) over the profile's τ, exact since ρ is a step function; 1 is best everywhere."""
    widths = np.diff(profile.index)
    return (profile.iloc[:-1].mul(widths, axis=0)).sum() / widths.sum()
