"""What an activation scores when its learning rate is tuned on three seeds, with an interval that holds that choice.

The estimand is the expected score at the rate that the best mean validation score of three tuning seeds selects. All
triples of the T tuning seeds select a rate each; the share of them that select a rate is its weight (`core.tuning`),
and an evaluation seed's replicate is its weighted score over the rates. Their mean is a two-sample U-statistic
(Hoeffding 1948), smooth enough for a jackknife over the tuning seeds, whose variance is on average no less than the
true one (Efron and Stein 1981). So for the mean over C fixed cells of equal weight:

    SE² = Σ_c (variance over evaluation seeds / E + jackknife over tuning seeds) / C²

with the degrees of freedom of Satterthwaite (1946) over all 2C parts. benchmarks/designs.py says what it covers.

Axes: T tuning seeds, E evaluation seeds, G learning rates in ascending order; `...` are any number of studies at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from activation_study.analysis.inference import Alternative, Interval, Test, mean_test
from activation_study.core.errors import StudyError
from activation_study.core.tuning import RateWeights, Replicates

Role = Literal["tuning", "evaluation"]


@dataclass(frozen=True)
class Arm:
    """An arm of a comparison in one cell: `scores` and `diverged` [E, G], of which rates without weight do not count.

    A diverged network's score is that of chance.
    """

    weights: RateWeights
    scores: NDArray
    diverged: NDArray

    def replicates(self) -> Replicates:
        """Of all networks."""
        return self.weights.replicates(self.scores)

    def trained(self) -> Replicates:
        """Of the networks that did not diverge."""
        return self.weights.replicates(np.where(self.diverged, np.nan, self.scores))


class Moments(NamedTuple):
    """Estimates of C cells [..., C], and the variances of each with their degrees of freedom [..., C, parts].

    The parts are independent: evaluation seeds and the choice of the rate.
    """

    estimates: NDArray
    variances: NDArray
    freedoms: NDArray

    def several(self) -> Moments:
        """As of one study among any number."""
        return Moments(*(values[None] for values in self))

    def mean(self, cells: slice | NDArray[np.bool_] = slice(None)) -> tuple[NDArray, NDArray, NDArray]:
        """Estimate, standard error and degrees of freedom [...] of the mean over these cells; NaN of none."""
        variances = self.variances[..., cells, :]
        total = variances.sum(axis=(-1, -2))
        with np.errstate(invalid="ignore", divide="ignore"):
            df = total**2 / (variances**2 / self.freedoms[..., cells, :]).sum(axis=(-1, -2))
            count = np.float64(variances.shape[-2])
            return self.estimates[..., cells].sum(axis=-1) / count, np.sqrt(total) / count, df


@dataclass(frozen=True)
class LeftOut:
    """The estimate without one seed of one cell, both numbered from 0."""

    estimate: float
    cell: int
    role: Role
    seed: int


@dataclass(frozen=True)
class Estimate:
    """An interval, and the estimates without the one seed that lowers and that raises it most."""

    interval: Interval
    lowest: LeftOut
    highest: LeftOut


@dataclass(frozen=True)
class Outcome:
    """A contrast over cells: of all networks, whose `cells` are given as well, of those that trained, and that
    `diverged` of `networks` did not."""

    cells: Sequence[Replicates]
    of_all: Estimate
    of_trained: Estimate
    diverged: int
    networks: int


def contrast(arms: Sequence[Replicates], coefficients: Sequence[float], offset: float = 0.0) -> Replicates:
    """Σ coefficient · arm − offset in one cell, whose seeds are paired: (1, −1) is the difference of two arms.

    Leaving out a seed leaves it out in every arm. Raises StudyError for arms with different numbers of seeds.
    """
    for role, axis in (("tuning", -2), ("evaluation", -1)):
        seeds = [arm.left_out.shape[axis] for arm in arms]
        if len(set(seeds)) > 1:
            raise StudyError(f"{role} seeds: {seeds} of arms that are compared; paired arms need the same ones")
    pairs = list(zip(coefficients, arms, strict=True))
    return Replicates(
        np.sum([factor * arm.evaluation for factor, arm in pairs], axis=0) - offset,
        np.sum([factor * arm.left_out for factor, arm in pairs], axis=0) - offset,
    )


def moments(cells: Sequence[Replicates]) -> Moments:
    """Of each cell's mean over its evaluation seeds, with the variances over evaluation and over tuning seeds."""
    parts = [_variances(cell) for cell in cells]
    return Moments(
        np.stack([_mean(cell.evaluation) for cell in cells], axis=-1),
        np.stack([np.stack([variance for variance, _ in of], axis=-1) for of in parts], axis=-2),
        np.stack([np.stack([freedom for _, freedom in of], axis=-1) for of in parts], axis=-2),
    )


def tuned_moments(cells: Sequence[Replicates]) -> tuple[NDArray, NDArray, NDArray]:
    """Estimate, standard error and degrees of freedom [...] of the mean over cells of equal weight.

    SE and df are NaN with one to three tuning seeds or one evaluation seed in a cell; df where nothing varies. Without
    any tuning seed there was no choice of a rate, and none is in the interval.
    """
    return moments(cells).mean()


def tuned_interval(cells: Sequence[Replicates], level: float = 0.95) -> Interval:
    """The t interval of the mean over cells; its bounds meet where nothing varies."""
    estimate, se, df = (float(moment) for moment in tuned_moments(cells))
    half = stats.t.ppf((1 + level) / 2, df) * se if se > 0 else se
    return Interval(estimate, estimate - half, estimate + half, se, df)


def tuned_test(cells: Sequence[Replicates], null: float, alternative: Alternative) -> Test:
    """One-sided t test of the mean over cells against `null`; where nothing varies, `mean_test` on evaluation seeds."""
    estimate, se, df = (float(moment) for moment in tuned_moments(cells))
    if se <= 1e-12 * max(abs(estimate), abs(null)):
        width = max(cell.evaluation.shape[-1] for cell in cells)
        values = [np.append(cell.evaluation, np.full(width - cell.evaluation.shape[-1], np.nan)) for cell in cells]
        return mean_test(values, null, alternative)
    t = (estimate - null) / se
    return Test(float(stats.t.sf(t, df) if alternative == "greater" else stats.t.cdf(t, df)), "t", t, df)


def two_sided(cells: Sequence[Replicates]) -> float:
    """The p of both alternatives that the mean over cells is not 0; identical results, of no variance, are no
    difference."""
    return min(1.0, 2 * min(tuned_test(cells, 0, side).p for side in ("greater", "less")))


def leave_one_out(cells: Sequence[Replicates]) -> list[LeftOut]:
    """The mean over cells without each seed of each cell in turn, in which all arms lose it."""
    roles: tuple[Role, ...] = ("tuning", "evaluation")
    seeds_of_cells = [
        (place, role, seed)
        for place, cell in enumerate(cells)
        for role, seeds in zip(roles, cell.left_out.shape, strict=True)
        for seed in range(seeds)
    ]
    return [LeftOut(float(one), *seed) for one, seed in zip(without_each(cells).mean()[0], seeds_of_cells, strict=True)]


def without_each(cells: Sequence[Replicates]) -> Moments:
    """The moments [N, C] without each seed of each cell in turn, in the order of `leave_one_out`.

    The variance over tuning seeds stays as it is where one of them is left out: another would take every pair of them.
    """
    whole, found = moments(cells), []
    for place, cell in enumerate(cells):
        tuning, evaluation = cell.left_out.shape
        kept = ~np.eye(evaluation, dtype=bool)
        rest = moments(
            [
                Replicates(
                    np.concatenate([cell.left_out, np.where(kept, cell.evaluation, np.nan)]),
                    np.concatenate(
                        [np.tile(cell.left_out, (tuning, 1, 1)), np.where(kept[:, None], cell.left_out, np.nan)]
                    ),
                )
            ]
        )
        studies = [np.repeat(values[None], tuning + evaluation, axis=0) for values in whole]
        for values, new in zip(studies, rest, strict=True):
            values[:, place] = new[:, 0]
        found.append(studies)
    return Moments(*(np.concatenate(parts) for parts in zip(*found, strict=True)))


def estimated(cells: Sequence[Replicates]) -> Estimate:
    """The 95% interval of the mean over cells, with its leave-one-seed-out range, of the estimates that there are."""
    found = leave_one_out(cells)
    return Estimate(
        tuned_interval(cells),
        min(found, key=lambda one: np.nan_to_num(one.estimate, nan=np.inf)),
        max(found, key=lambda one: np.nan_to_num(one.estimate, nan=-np.inf)),
    )


def outcome(cells: Sequence[Sequence[Arm]], coefficients: Sequence[float], offset: float = 0.0) -> Outcome:
    """The contrast Σ coefficient · arm − offset over cells, each with its arms in the order of the coefficients.

    Without diverged networks it is of what trained: an evaluation seed counts where every arm has a network left.
    """
    arms = [arm for cell in cells for arm in cell]
    networks = [(arm.weights.weights > 0) & (arm.diverged | ~np.isnan(arm.scores)) for arm in arms]
    of_all = [contrast([arm.replicates() for arm in cell], coefficients, offset) for cell in cells]
    return Outcome(
        of_all,
        estimated(of_all),
        estimated([contrast([arm.trained() for arm in cell], coefficients, offset) for cell in cells]),
        sum(int(arm.diverged[known].sum()) for arm, known in zip(arms, networks, strict=True)),
        sum(int(known.sum()) for known in networks),
    )


def _variances(cell: Replicates) -> list[tuple[NDArray, NDArray]]:
    """Variances of a cell's mean [...], over evaluation and over tuning seeds, each with its degrees of freedom."""
    values, means = cell.evaluation, _mean(cell.left_out)
    count = (~np.isnan(values)).sum(axis=-1)
    squares = np.nansum((values - _mean(values)[..., None]) ** 2, axis=-1)
    seeds = means.shape[-1]
    spread = ((means - _mean(means)[..., None]) ** 2).sum(axis=-1)
    no_choice = np.zeros(count.shape), np.ones(count.shape)
    with np.errstate(invalid="ignore", divide="ignore"):
        return [
            (squares / (count - 1) / count, count - 1),
            (spread * (seeds - 1) / seeds, np.full(count.shape, seeds - 1)) if seeds else no_choice,
        ]


def _mean(values: NDArray) -> NDArray:
    """Over the last axis, of what is known; NaN where nothing is."""
    known = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.where(known, values, 0).sum(axis=-1) / known.sum(axis=-1)
