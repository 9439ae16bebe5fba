"""Inference over seeds: intervals, tests and summaries of times to a target.

The estimand is the mean over fixed cells (dataset × depth), each with equal weight. Here seeds are the only random
thing, at a given learning rate: the common input is a matrix `values` [..., C, S] of C cells by S seeds, NaN where a
seed is missing. What descriptive tables and figures show rests on that.

A verdict's interval holds more: `tuned` adds the choice of the learning rate, by a jackknife over the tuning seeds.
Without it, of an activation tuned on three seeds, whose neighbouring rates differ by the noise of one seed, a nominal
95% covers 84% with ten; with it, and six tuning seeds, 95 to 97%. What is rare is in neither: where one network in a
hundred diverges and falls by forty times the noise of the others, it covers 59%; so divergence is counted apart, and no
verdict may rest on one seed. About new datasets only `over_datasets` says something, from twelve of them on.

What a nominal 95% covers at a given rate was simulated, and is again in tests/unit/analysis/test_inference.py. Over
three cells with normal noise as 1 : 2 : 3, at 3, 5 and 10 seeds: the t interval here 95.9%, 95.3% and 95.1%; the
percentile bootstrap, which is not used, 81%, 88% and 92%.
"""

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from activation_study.core.errors import StudyError

ALPHA = 0.05
POWER = 0.8
MIN_CELLS = 3
MIN_SEEDS = 5
MIN_TUNING = 4
"""Tuning seeds that the choice of a rate needs for a standard error."""
MIN_DATASETS = 12
"""Datasets from which they may stand for others."""
CHANCE_MARGIN = 0.02
"""Accuracy within this of 1/K is chance: more than a standard error of 360 test images, .016 for K = 10."""

Alternative = Literal["greater", "less"]


@dataclass(frozen=True)
class Interval:
    """An estimate with its interval. `se` and `df` are NaN for intervals that are not t intervals."""

    estimate: float
    low: float
    high: float
    se: float = float("nan")
    df: float = float("nan")

    def within(self, least: float, most: float) -> "Interval":
        """Ending where the quantity does, which a t interval does not know."""
        return replace(self, low=float(np.clip(self.low, least, most)), high=float(np.clip(self.high, least, most)))


@dataclass(frozen=True)
class Test:
    """A p-value and how it was come by, "t" or "sign-flip"; `df` is NaN for a sign-flip test."""

    __test__ = False  # not a test case, whatever pytest makes of the name

    p: float
    method: str
    statistic: float
    df: float = float("nan")


def stratified_moments(values: ArrayLike) -> tuple[NDArray, NDArray, NDArray]:
    """Estimate, standard error and degrees of freedom of the mean over cells, for `values` [..., C, S].

    SE² = Σ_c (s_c² / S_c) / C² with Satterthwaite's degrees of freedom: cells may differ in variance and in
    their number of seeds. A cell with one seed makes SE and df NaN; zero variance in every cell makes df NaN.
    """
    values = np.asarray(values, dtype=float)
    known = ~np.isnan(values)
    counts = known.sum(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = np.where(known, values, 0).sum(axis=-1) / counts
        squares = np.where(known, values - means[..., None], 0) ** 2
        variances = squares.sum(axis=-1) / (counts - 1) / counts
        total = variances.sum(axis=-1)
        se = np.sqrt(total) / values.shape[-2] if values.shape[-2] else total * np.nan
        df = total**2 / (variances**2 / (counts - 1)).sum(axis=-1)
        estimate = means.sum(axis=-1) / values.shape[-2] if values.shape[-2] else total * np.nan
    return estimate, se, df


def stratified_interval(values: ArrayLike, level: float = 0.95) -> Interval:
    """The primary interval: stratified t for `values` [C, S].

    Its bounds are NaN where a cell has a single seed, and meet where no cell varies over its seeds.
    """
    estimate, se, df = (float(x) for x in stratified_moments(values))
    half = stats.t.ppf((1 + level) / 2, df) * se if se > 0 else se
    return Interval(estimate, estimate - half, estimate + half, se, df)


def over_datasets(means: ArrayLike, level: float = 0.95) -> tuple[Interval, Interval]:
    """The t interval of the mean over datasets, from each one's estimate [D], and the interval for a new dataset's.

    The dataset is random here: noise over seeds is in the spread of the estimates. Bounds are NaN for one dataset.
    """
    means = np.asarray(means, dtype=float)
    mean = stratified_interval(means[None], level)
    half = (mean.high - mean.estimate) * math.sqrt(len(means) + 1)
    return mean, replace(mean, low=mean.estimate - half, high=mean.estimate + half)


def t_half_width(sd: ArrayLike, n: ArrayLike, level: float = 0.95) -> NDArray:
    """Half the width of the t interval of a mean over `n` seeds of standard deviation `sd`; NaN if n < 2."""
    n = np.asarray(n, dtype=float)
    several = np.where(n > 1, n, np.nan)
    return stats.t.ppf((1 + level) / 2, several - 1) * np.asarray(sd, dtype=float) / np.sqrt(several)


def mean_test(values: ArrayLike, null: float, alternative: Alternative) -> Test:
    """One-sided test of the mean over cells of `values` [C, S] against `null`: stratified t.

    Where no cell varies over its seeds, t does not exist, and a sign-flip test takes its place: under the
    null each value is as likely above `null` as below, by the same amount. One seed gives a NaN p.
    """
    values = np.asarray(values, dtype=float)
    estimate, se, df = (float(x) for x in stratified_moments(values))
    if se <= 1e-12 * np.nanmax(np.abs([*values.ravel(), null])):
        return _sign_flip_test(values - null, alternative)
    t = (estimate - null) / se
    return Test(float(stats.t.sf(t, df) if alternative == "greater" else stats.t.cdf(t, df)), "t", t, df)


def _sign_flip_test(values: NDArray, alternative: Alternative) -> Test:
    """Exact up to 13 values, else 9,999 random flips from a fixed seed."""
    known = ~np.isnan(values)
    shares = (values / known.sum(axis=1, keepdims=True) / len(values))[known]
    result = stats.permutation_test(
        (shares,),
        np.sum,
        permutation_type="samples",
        vectorized=True,
        n_resamples=9999,
        alternative=alternative,
        rng=np.random.default_rng(0),
    )
    return Test(float(result.pvalue), "sign-flip", float(result.statistic))


def equivalence_test(values: ArrayLike, margin: float) -> Test:
    """Two one-sided tests that the mean over cells of `values` [C, S] lies within ±`margin` (TOST).

    With one cell this is statsmodels' `ttost_paired`; more cells use the stratified t.
    """
    if margin <= 0:
        raise StudyError(f"equivalence margin: {margin} must be positive")
    above, below = mean_test(values, -margin, "greater"), mean_test(values, margin, "less")
    return above if np.isnan(above.p) or above.p >= below.p else below


def difference_test(values: ArrayLike, margin: float) -> Test:
    """The reverse of `equivalence_test`: the mean of `values` [C, S] lies outside ±`margin`, two-sided."""
    above, below = mean_test(values, margin, "greater"), mean_test(values, -margin, "less")
    nearer = above if np.isnan(above.p) or above.p <= below.p else below
    return Test(min(1.0, 2 * nearer.p), nearer.method, nearer.statistic, nearer.df)


def holm(p: ArrayLike) -> NDArray:
    """Holm's adjusted p-values of one family [..., m]; any number of studies at once, as statsmodels gives each.

    An absent p (NaN) keeps its place in the family, as 1.
    """
    known = np.nan_to_num(np.asarray(p, dtype=float), nan=1.0)
    order = known.argsort(axis=-1)
    steps = np.take_along_axis(known, order, axis=-1) * np.arange(known.shape[-1], 0, -1)
    adjusted = np.empty_like(known)
    np.put_along_axis(adjusted, order, np.maximum.accumulate(steps, axis=-1).clip(max=1), axis=-1)
    return adjusted


def trend_weights(doses: ArrayLike) -> NDArray:
    """Contrast weights [D] that turn responses at `doses` [D] into a linear trend.

    The weighted sum is the least-squares line's change from the lowest to the highest dose, in the metric's
    own units, so that a smallest effect of interest means the same as for a difference.
    """
    doses = np.asarray(doses, dtype=float)
    centred = doses - doses.mean()
    if not centred.any():
        raise StudyError(f"trend over doses {doses.tolist()}: at least two different doses are needed")
    return centred * np.ptp(doses) / (centred @ centred)


def pooled_sd(values: ArrayLike) -> float:
    """The seed-to-seed standard deviation of `values` [C, S], pooled over cells of equal weight."""
    values = np.asarray(values, dtype=float)
    several = values[(~np.isnan(values)).sum(axis=1) > 1]
    return float(np.sqrt(np.nanvar(several, axis=1, ddof=1).mean())) if len(several) else float("nan")


def probability_of_superiority(values: ArrayLike) -> float:
    """P(A > B) over paired seeds, from differences [C, S]: ties count half, cells have equal weight."""
    values = np.asarray(values, dtype=float)
    return float(stratified_moments((np.sign(values) + 1) / 2)[0])


def wilson(successes: int, n: int, level: float = 0.95) -> Interval:
    """A proportion with its Wilson score interval; NaN for n = 0."""
    if n == 0:
        return Interval(float("nan"), float("nan"), float("nan"))
    low, high = proportion_confint(successes, n, alpha=1 - level, method="wilson")
    return Interval(successes / n, float(low), float(high))


def interquartile_mean(values: ArrayLike) -> float:
    """The mean of the middle half of `values` [N] (IQM); NaN for none."""
    values = np.asarray(values, dtype=float)
    return float(stats.trim_mean(values, 0.25)) if len(values) else float("nan")


def restricted_time(time: ArrayLike, horizon: ArrayLike) -> NDArray:
    """min(T, H) in steps: a time that is censored (NaN or inf) counts as the whole budget `horizon`."""
    return np.fmin(np.asarray(time, dtype=float), horizon)


def restricted_mean_time(time: ArrayLike, horizon: float) -> float:
    """RMST(H) = mean of min(T, H) over runs [N], in steps: no run is dropped."""
    return float(restricted_time(time, horizon).mean())


def log_restricted_time(time: ArrayLike, horizon: ArrayLike) -> NDArray:
    """log min(T, H), elementwise: its paired differences are log time ratios.

    T below one step counts as one. All censoring is at the common budget H, so the mean needs no survival
    model.
    """
    return np.log(np.maximum(restricted_time(time, horizon), 1.0))
