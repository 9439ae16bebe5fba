"""The study's own false alarms and power, from one function under two names with different seeds.

Whatever is called a difference between such twins is a false alarm. Nothing is resampled: a false-alarm rate is
over disjoint groups of seeds, each as large as a real comparison's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from activation_study.analysis.inference import (
    ALPHA,
    MIN_CELLS,
    mean_test,
    stratified_interval,
    wilson,
)
from activation_study.analysis.replicas import evaluated

GROUP = 10
"""Seeds in a comparison, as many as the default study's."""
METRICS = ("test_accuracy", "log_time")
PLANTED = 1.5
"""The planted effect, in smallest effects of interest."""
DRAWS = 400


@dataclass(frozen=True)
class Twins:
    """Two runs of one function under two names; ``differences`` [S] of a metric, seed by seed."""

    first: str
    second: str
    metric: str
    differences: NDArray


def same_functions(portraits: pd.DataFrame) -> set[tuple[str, str]]:
    """Pairs of activations, each pair in both orders, whose values and derivatives agree to 1e-9 everywhere."""
    curves = {
        str(name): rows.sort_values("x")[["x", "value", "derivative"]].to_numpy()
        for name, rows in portraits.groupby("activation")
    }
    return {
        (one, other)
        for one, a in curves.items()
        for other, b in curves.items()
        if one != other and a.shape == b.shape and np.allclose(a, b, rtol=0, atol=1e-9)
    }


def control_twins(runs: pd.DataFrame, portraits: pd.DataFrame) -> list[Twins]:
    """Every pair of runs that differ in the activation's name and the seed stream alone, for each of ``METRICS``.

    Seeds are paired by their number, which means nothing across streams: the pairs are independent.
    """
    twins = same_functions(portraits)
    rows = evaluated(runs)
    alike: dict[str, list[tuple[str, str, str]]] = {}
    for row in rows.drop_duplicates("run")[["run", "activation", "seed_stream"]].itertuples(index=False):
        alike.setdefault(_rest(*row), []).append(tuple(row))
    found = []
    for (first, a, stream_a), (second, b, stream_b) in (
        pair for group in alike.values() for pair in permutations(group, 2)
    ):
        if stream_a < stream_b and (a, b) in twins:
            one, other = (rows[rows["run"] == run].set_index("replicate") for run in (first, second))
            found += [Twins(a, b, metric, (one[metric] - other[metric]).dropna().to_numpy(float)) for metric in METRICS]
    return found


def _rest(run: str, activation: str, seed_stream: str) -> str:
    """A run's id without its activation and seed stream."""
    return run.replace(f"/{activation}/", "//").replace(f",seed_stream={seed_stream}", "")


def false_alarms(twins: Sequence[Twins], group: int = GROUP) -> pd.DataFrame:
    """One row per pair and metric: how often two-sided 5% t tests on disjoint groups of seeds call a difference.

    Adds first, second, metric, seeds, difference (_low, _high: 95% t interval over all seeds), comparisons, alarms,
    rate (_low, _high: Wilson).
    """
    rows = []
    for pair in twins:
        groups = [pair.differences[i : i + group] for i in range(0, len(pair.differences) - group + 1, group)]
        alarms = sum(_two_sided(values) < ALPHA for values in groups)
        whole, rate = stratified_interval(pair.differences[None]), wilson(alarms, len(groups))
        rows.append(
            {
                "first": pair.first,
                "second": pair.second,
                "metric": pair.metric,
                "seeds": len(pair.differences),
                "difference": whole.estimate,
                "difference_low": whole.low,
                "difference_high": whole.high,
                "comparisons": len(groups),
                "alarms": alarms,
                "rate": rate.estimate,
                "rate_low": rate.low,
                "rate_high": rate.high,
            }
        )
    return pd.DataFrame(rows)


def _two_sided(values: NDArray) -> float:
    """The p of both alternatives of the study's own test; identical seeds, of no variance, are no difference."""
    if not np.ptp(values) and not values[0]:
        return 1.0
    return min(1.0, 2 * min(mean_test(values[None], 0, side).p for side in ("greater", "less")))


def planted_power(twins: Sequence[Twins], smallest: float, family: int, cells: int = MIN_CELLS) -> float:
    """How often the rules for "supported" find an effect of ``PLANTED`` × ``smallest`` added to the twins' noise.

    A drawn study has ``cells`` cells of ``GROUP`` seeds each, all different, of one pair; Holm's strictest level
    for ``family`` claims, and an estimate of at least ``smallest``. NaN without seeds enough.
    """
    rng = np.random.default_rng(0)
    pools = [pair.differences for pair in twins if len(pair.differences) >= cells * GROUP]
    if not pools:
        return float("nan")
    found = []
    for draw in range(DRAWS):
        pool = pools[draw % len(pools)]
        values = rng.permutation(pool - pool.mean())[: cells * GROUP].reshape(cells, GROUP) + PLANTED * smallest
        shown = mean_test(values, 0, "greater").p < ALPHA / family
        found.append(shown and values.mean() >= smallest and (values.mean(1) > 0).all())
    return float(np.mean(found))
