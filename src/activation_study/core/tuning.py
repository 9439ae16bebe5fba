"""Which learning rates count in a run, and how much: each as often as three of its tuning seeds select it.

`analysis.tuned` says what that estimates. Axes: T tuning seeds, E evaluation seeds, G learning rates in ascending
order; `...` are any number of studies at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from activation_study.core.errors import StudyError
from activation_study.core.factors import TUNED_ON

__all__ = ["MIN_WEIGHT", "TUNED_ON", "RateWeights", "Replicates", "rate_weights"]

Numbers = NDArray[np.float64]

MIN_WEIGHT = 0.05
"""Rates of less weight are not evaluated. One of the 20 triples of six seeds has just that, so that none is lost."""
DECIMALS = 12
"""Mean validation scores that agree to so many are equal: sums of the same numbers may differ in the last bit."""


@dataclass(frozen=True)
class Replicates:
    """A score per evaluation seed, or a contrast of several arms' scores, in one cell.

    `evaluation` [..., E] is NaN where a seed has none; `left_out` [..., T, E] are the same with each tuning seed left
    out of the choice of the rate.
    """

    evaluation: Numbers
    left_out: Numbers


@dataclass(frozen=True)
class RateWeights:
    """Weights over the rates, which sum to 1: `weights` [..., G], and `left_out` [..., T, G] with each tuning seed left
    out, NaN where no triple remains. Rates that are not evaluated have none."""

    weights: Numbers
    left_out: Numbers

    def replicates(self, scores: ArrayLike) -> Replicates:
        """Σ weight · score of each evaluation seed, from `scores` [..., E, G].

        A network whose score is NaN is left out: the seed's other rates share its weight, and a seed without any score
        is NaN. What rates without weight score does not count.
        """
        scores = np.asarray(scores, dtype=float)
        return Replicates(
            _weighted(scores, self.weights[..., None, :]),
            _weighted(scores[..., None, :, :], self.left_out[..., None, :]),
        )


def rate_weights(scores: ArrayLike, *ties: ArrayLike) -> RateWeights:
    """The share of the triples of tuning seeds that select each rate, from `scores` [..., T, G], larger is better.

    A triple selects the rate with the best mean score; among equals that of the best mean of `ties`, columns like
    `scores`, one after the other; then the smaller rate. So accuracy and −loss, or −log time and −area, decide as
    `training.selection.ranked` does. NaN is a rate that was pruned on that seed, and worse than any number. Rates
    below MIN_WEIGHT are dropped, unless all are, and the others' weights sum to 1. Fewer than three seeds select one
    rate together.

    Without a tuning seed, for the verdict that does not rest on it, they are the weights of `scores` without its row.

    Raises StudyError where each rate was pruned on some seed.
    """
    columns = [np.asarray(column, dtype=float) for column in (scores, *ties)]
    seeds = columns[0].shape[-2]
    if np.isnan(columns[0]).any(axis=-2).all(axis=-1).any():
        raise StudyError("tuning scores: no rate has one on every seed; at least one must not be pruned")
    size = min(seeds, TUNED_ON)
    triples = np.array(list(combinations(range(seeds), size)))
    best: NDArray[np.bool_] = np.ones(1, dtype=bool)
    for column in columns:
        known = np.where(np.isnan(column), -np.inf, column)
        means = np.round(sum(known[..., place, :] for place in triples.T) / size, DECIMALS)
        means = np.where(best, means, -np.inf)
        best = best & (means == means.max(axis=-1, keepdims=True))
    selected = np.eye(best.shape[-1])[best.argmax(axis=-1)]
    shares = selected.mean(axis=-2)
    kept = shares >= np.minimum(MIN_WEIGHT, shares.max(axis=-1, keepdims=True))
    without = (triples != np.arange(seeds)[:, None, None]).all(axis=-1).astype(float)
    return RateWeights(_normalised(shares * kept), _normalised(without @ selected * kept[..., None, :]))


def _weighted(scores: Numbers, weights: Numbers) -> Numbers:
    """Weighted mean over the last axis, of what is known; NaN where nothing of weight is."""
    known = ~np.isnan(scores)
    with np.errstate(invalid="ignore"):
        mean: Numbers = (np.where(known, scores, 0) * weights).sum(axis=-1) / (known * weights).sum(axis=-1)
    return mean


def _normalised(weights: Numbers) -> Numbers:
    with np.errstate(invalid="ignore"):
        shares: Numbers = weights / weights.sum(axis=-1, keepdims=True)
    return shares
