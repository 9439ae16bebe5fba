"""Which learning rates the runs of a study chose, once more from their tuning networks.

The table `runs` holds each rate's weight; here are, beside it, the weights without each of the tuning seeds.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from activation_study.analysis.inference import MIN_TUNING
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
    """The choice of each run of a table `runs`, by its id, as `training.selection` makes it.

    For accuracy by validation accuracy, then loss; for speed by log min(T, H), then the area under the log loss.
    """

    def __init__(self, runs: pd.DataFrame) -> None:
        tuning = (runs["role"] == "tuning") & (runs["status"] != "no_data")
        self._tuning = runs.loc[tuning, [name for name in READ if name in runs]]

    def __getitem__(self, run: str) -> Choice:
        return self._known[run]

    @cached_property
    def _known(self) -> dict[str, Choice]:
        """Of all runs at once, those of the same numbers of seeds and rates in one array."""
        tuning = self._tuning.reset_index(drop=True)
        by_run = tuning.groupby("run", sort=False)
        places = pd.DataFrame(
            {"seed": by_run["replicate"].rank("dense"), "rate": by_run["learning_rate"].rank("dense")}
        )
        places = places.astype(int) - 1
        shape = places.groupby(tuning["run"], sort=False).transform("max") + 1
        found: dict[str, Choice] = {}
        for (speed, seeds, rates), rows in tuning.groupby(
            [tuning["select"] == "speed", shape["seed"], shape["rate"]], sort=False
        ):
            runs, names = pd.factorize(rows["run"])
            at = runs, *places.loc[rows.index, ["seed", "rate"]].to_numpy().T
            grids = np.empty((len(names), rates))
            grids[at[0], at[2]] = rows["learning_rate"]
            tables = []
            for score in _scores(rows, speed):
                table = np.full((len(names), seeds, rates), np.nan)
                table[at] = score.astype(float).mask(rows["status"] == "pruned")
                tables.append(table)
            weights = rate_weights(*tables)
            ranks = stats.rankdata(-tables[0].mean(axis=1), axis=-1, nan_policy="omit")
            for place, name in enumerate(names):
                own = RateWeights(weights.weights[place], weights.left_out[place])
                found[name] = Choice(grids[place], own, ranks[place])
        return found

    def without_each(self) -> pd.DataFrame:
        """Weights without each tuning seed: a row per run and learning rate, a column per seed, numbered from 0.

        Runs of fewer than MIN_TUNING tuning seeds are not in it: what their choice adds cannot be told.
        """
        kept = {run: one for run, one in self._known.items() if len(one.weights.left_out) >= MIN_TUNING}
        seeds = max((len(one.weights.left_out) for one in kept.values()), default=0)
        parts = [
            np.pad(one.weights.left_out.T, ((0, 0), (0, seeds - len(one.weights.left_out))), constant_values=np.nan)
            for one in kept.values()
        ]
        runs = np.repeat(np.array([*kept], dtype=object), [len(one.rates) for one in kept.values()])
        rates = np.concatenate([np.empty(0), *(one.rates for one in kept.values())])
        index = pd.MultiIndex.from_arrays([runs, rates], names=["run", "learning_rate"])
        return pd.DataFrame(np.concatenate([np.empty((0, seeds)), *parts]), index=index)


def _scores(tuning: pd.DataFrame, speed: bool) -> tuple[pd.Series, pd.Series]:
    """What selects, and what decides among equals; larger is better."""
    if speed:
        return -log_time(tuning), -tuning["area_under_loss"]
    return tuning["validation_accuracy"], -tuning["validation_loss"]


def log_time(networks: pd.DataFrame) -> pd.Series:
    """Natural logarithm of min(steps to the target, horizon); the time is missing where the target was not reached."""
    return np.log(np.fmin(networks["time_to_target"].astype(float), networks["horizon"]).clip(lower=1))
