"""Which learning rates the runs of a study chose, once more from their tuning networks.

The table `runs` holds each rate's weight; here are, beside it, the weights without each of the tuning seeds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from activation_study.analysis.replicas import log_time
from activation_study.core.tuning import RateWeights, rate_weights

READ = (
    "run", "replicate", "learning_rate", "status", "select", "validation_accuracy", "validation_loss", "time_to_target",
    "horizon", "area_under_loss",
)  # fmt: skip
"""Columns of `runs` that a choice rests on."""


@dataclass(frozen=True)
class Choice:
    """A run's `rates` [G] in ascending order, their weights, and their `ranks` [G] by the mean over tuning seeds of
    what selects them, 1 best; NaN for a rate that was pruned."""

    rates: NDArray
    weights: RateWeights
    ranks: NDArray

    def at(self, rates: NDArray) -> Choice:
        """The same on another grid of rates, ascending; those that it lacks have no weight and no rank."""
        places = np.searchsorted(self.rates, rates).clip(max=len(self.rates) - 1)
        there = self.rates[places] == rates
        weights = (np.where(there, of[..., places], 0) for of in (self.weights.weights, self.weights.left_out))
        return Choice(rates, RateWeights(*weights), np.where(there, self.ranks[places], np.nan))


class Choices:
    """The choice of each run of a table `runs`, by its id."""

    def __init__(self, runs: pd.DataFrame) -> None:
        tuning = (runs["role"] == "tuning") & (runs["status"] != "no_data")
        self._tuning = runs.loc[tuning, [name for name in READ if name in runs]]
        self._places = self._tuning.groupby("run", sort=False).indices
        self._known: dict[str, Choice] = {}

    def __getitem__(self, run: str) -> Choice:
        if run not in self._known:
            self._known[run] = choice(self._tuning.iloc[self._places[run]])
        return self._known[run]


def choice(tuning: pd.DataFrame) -> Choice:
    """Of one run's tuning networks, as `training.selection` makes it.

    For accuracy by validation accuracy, then loss; for speed by log min(T, H), then the area under the log loss.
    """
    if tuning["select"].iloc[0] == "speed":
        scores = [-log_time(tuning), -tuning["area_under_loss"]]
    else:
        scores = [tuning["validation_accuracy"], -tuning["validation_loss"]]
    rates, columns = np.unique(tuning["learning_rate"], return_inverse=True)
    seeds, rows = np.unique(tuning["replicate"], return_inverse=True)
    tables = []
    for score in scores:
        table = np.full((len(seeds), len(rates)), np.nan)
        table[rows, columns] = score.astype(float).mask(tuning["status"] == "pruned")
        tables.append(table)
    ranks = stats.rankdata(-tables[0].mean(axis=0), nan_policy="omit")
    return Choice(rates, rate_weights(*tables), ranks)
