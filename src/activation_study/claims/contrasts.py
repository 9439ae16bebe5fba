"""From the tables to a contrast: what a row compares, cell by cell, with all that its verdict rests on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from activation_study.analysis.choices import Choices
from activation_study.analysis.inference import (
    CHANCE_MARGIN,
    MIN_DATASETS,
    Interval,
    over_datasets,
    pooled_sd,
    probability_of_superiority,
    stratified_moments,
)
from activation_study.analysis.tuned import (
    Arm,
    LeftOut,
    Moments,
    Outcome,
    leave_one_out,
    moments,
    outcome,
    tuned_interval,
    without_each,
)
from activation_study.claims.metrics import KEY
from activation_study.core.tuning import RateWeights, Replicates

NAN = float("nan")
DECIMALS = 12
"""Values that agree to so many are a tie: means of one score with different weights may differ in the last bit."""
UNKNOWN = Interval(NAN, NAN, NAN)
Uninformative = Literal["chance", "target"]
NOTHING = np.empty(0)
NO_MOMENTS = Moments(NOTHING, np.empty((0, 2)), np.empty((0, 2)))
NONE_WITHOUT = Moments(*(values[None][:0] for values in NO_MOMENTS))


@dataclass(frozen=True)
class Contrast:
    """What is compared, in C cells, positive in the claimed direction.

    `cells` [C] are readable names, with the dataset and the depth of each (a depth of "" is none), its interval, its
    values `by_seed` (none of a cost), and whether its arms can tell anything. `moments` are of the cells, `without`
    [N, C] the same without each of N `seeds` in turn. `at_one_rate` [C] are the estimates with all arms of a cell at
    one learning rate, NaN where none was evaluated in all, and `one_rate` their interval. `of_all` and `of_trained` are
    of all networks, and of those that did not diverge. `tuning` counts the tuning seeds that the interval holds (0:
    nothing was chosen), `seeds_each` the fewest evaluation seeds of a cell, `n` all paired values. `random` and `new`
    are over datasets, and for a new one.
    """

    cells: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    depths: tuple[str, ...] = ()
    intervals: tuple[Interval, ...] = ()
    counts: tuple[int, ...] = ()
    by_seed: tuple[NDArray[np.float64], ...] = ()
    informative: NDArray[np.bool_] = field(default_factory=lambda: NOTHING.astype(bool))
    moments: Moments = NO_MOMENTS
    without: Moments = NONE_WITHOUT
    seeds: tuple[str, ...] = ()
    at_one_rate: NDArray[np.float64] = field(default_factory=lambda: NOTHING)
    one_rate: Interval = UNKNOWN
    of_all: Interval = UNKNOWN
    of_trained: Interval = UNKNOWN
    lowest: tuple[float, str] = (NAN, "")
    highest: tuple[float, str] = (NAN, "")
    diverged: int = 0
    networks: int = 0
    tuning: int = 0
    seeds_each: int = 0
    standardised: float = NAN
    superiority_probability: float = NAN
    random: Interval = UNKNOWN
    new: Interval = UNKNOWN

    @property
    def n(self) -> int:
        return sum(self.counts)


def contrast(
    arms: Sequence[pd.DataFrame],
    coefficients: Sequence[float],
    choices: Choices | None,
    *,
    offset: float = 0.0,
    uninformative: Uninformative | None = None,
    one_rate: bool = True,
) -> Contrast:
    """Σ coefficient · value(arm) − offset, cell by cell.

    Each arm is a table of networks with the columns run, dataset, depth, replicate, learning_rate, status and value;
    one run a cell, and one row a network. A cell that an arm lacks, or in which no seed has a value in every arm, is
    left out. A cell tells nothing by "chance" when all arms' mean test accuracy sits at 1/K (needs test_accuracy,
    classes), by "target" when no network of any arm reaches it (needs reached).

    Args:
        choices: the choice of the rate in each run; None for values of one network a seed, which hold no choice.
        one_rate: whether the arms are compared at one rate as well.
    """
    networks = pd.concat(arms).drop_duplicates(KEY)
    scores, status = (networks.pivot(index=KEY[:2], columns=KEY[2], values=name) for name in ("value", "status"))
    runs = [{(row.dataset, row.depth): row.run for row in arm.drop_duplicates("run").itertuples()} for arm in arms]
    shared = sorted(set.intersection(*map(set, runs)))
    made: list[list[Arm]] = []
    told, levels = [], []
    for cell in shared:
        names = [run[cell] for run in runs]
        seeds = sorted(set().union(*(scores.loc[name].index for name in names)))
        tables = [(scores.loc[name].reindex(seeds), status.loc[name].reindex(seeds)) for name in names]
        found = [_arm(*table, name, choices) for table, name in zip(tables, names, strict=True)]
        if _common(found).any():
            made.append(found)
            told.append(cell)
            levels.append(_one_rate(found, names, scores.columns.to_numpy(dtype=float), choices) if one_rate else None)
    if not made:
        return Contrast()
    usable = _usable(networks, uninformative)
    informative = np.array([any(usable[run[cell]] for run in runs) for cell in told])
    return _described(outcome(made, coefficients, offset), told, informative, _at(levels, made, coefficients, offset))


def _arm(scores: pd.DataFrame, status: pd.DataFrame, run: str, choices: Choices | None) -> Arm:
    """A run's arm on all rates of the tables."""
    if choices is None:
        there = status.notna().any().to_numpy(dtype=float)
        weights = RateWeights(there / there.sum(), np.empty((0, len(there))))
    else:
        weights = choices[run].at(scores.columns.to_numpy(dtype=float)).weights
    return Arm(weights, scores.to_numpy(dtype=float), status.eq("diverged").to_numpy(dtype=bool))


def _common(arms: Sequence[Arm]) -> NDArray[np.bool_]:
    """Seeds [E] with a value in every arm."""
    known: NDArray[np.bool_] = np.all([~np.isnan(arm.replicates().evaluation) for arm in arms], axis=0)
    return known


def _one_rate(
    arms: Sequence[Arm], runs: Sequence[str], rates: NDArray[np.float64], choices: Choices | None
) -> int | None:
    """The place of the rate whose mean rank over the arms is best, of those at which all have values; the smaller."""
    ranks = np.mean([choices[run].at(rates).ranks for run in runs], axis=0) if choices else np.zeros(len(rates))
    known = np.all([~np.isnan(arm.scores) for arm in arms], axis=0).any(axis=0) & ~np.isnan(ranks)
    return int(np.where(known, ranks, np.inf).argmin()) if known.any() else None


def _at(
    levels: Sequence[int | None], cells: Sequence[Sequence[Arm]], coefficients: Sequence[float], offset: float
) -> list[Replicates | None]:
    """Each cell's contrast at one rate; None where there is none."""
    return [
        None
        if level is None
        else _alone(np.tensordot(coefficients, np.stack([arm.scores[:, level] for arm in arms]), axes=1) - offset)
        for level, arms in zip(levels, cells, strict=True)
    ]


def _alone(values: NDArray[np.float64]) -> Replicates:
    """Values [E] that hold no choice of a rate."""
    return Replicates(values, np.empty((0, len(values))))


def _usable(networks: pd.DataFrame, uninformative: Uninformative | None) -> pd.Series:
    """Whether each run can tell anything."""
    by_run = networks.groupby("run")
    if uninformative == "target":
        return by_run["reached"].any().astype(bool)
    if uninformative == "chance":
        return by_run["test_accuracy"].mean() > 1 / by_run["classes"].first() + CHANCE_MARGIN
    return by_run.size() > 0


def _described(
    found: Outcome, told: Sequence[tuple[str, int]], informative: NDArray[np.bool_], at: Sequence[Replicates | None]
) -> Contrast:
    names = tuple(f"{dataset}/depth={depth}" for dataset, depth in told)
    values = np.array(list(zip_longest(*(cell.evaluation for cell in found.cells), fillvalue=NAN))).T
    sd, estimate = pooled_sd(values), found.of_all.interval.estimate
    counts = tuple((~np.isnan(values)).sum(axis=1).tolist())
    datasets = tuple(str(dataset) for dataset, _ in told)
    with_one_rate = [cell for cell in at if cell is not None]
    means = pd.Series([_mean(cell) for cell in found.cells]).groupby(list(datasets)).mean()
    several = len(means) >= MIN_DATASETS
    return Contrast(
        cells=names,
        datasets=datasets,
        depths=tuple(f"{depth} layers" for _, depth in told),
        intervals=tuple(tuned_interval([cell]) for cell in found.cells),
        counts=counts,
        by_seed=tuple(cell.evaluation for cell in found.cells),
        informative=informative,
        moments=moments(found.cells),
        without=without_each(found.cells),
        seeds=tuple(_seed(one, names) for one in leave_one_out(found.cells)),
        at_one_rate=np.array([NAN if cell is None else _mean(cell) for cell in at]),
        one_rate=tuned_interval(with_one_rate) if with_one_rate else UNKNOWN,
        of_all=found.of_all.interval,
        of_trained=found.of_trained.interval,
        lowest=(found.of_all.lowest.estimate, _seed(found.of_all.lowest, names)),
        highest=(found.of_all.highest.estimate, _seed(found.of_all.highest, names)),
        diverged=found.diverged,
        networks=found.networks,
        tuning=min(cell.left_out.shape[0] for cell in found.cells),
        seeds_each=min(counts),
        standardised=estimate / sd if sd > 0 else NAN,
        superiority_probability=probability_of_superiority(np.round(values, DECIMALS)),
        **(dict(zip(("random", "new"), over_datasets(means), strict=True)) if several else {}),
    )


def _mean(cell: Replicates) -> float:
    return float(stratified_moments(cell.evaluation[None])[0])


def _seed(one: LeftOut, cells: Sequence[str]) -> str:
    return f"{one.role} seed {one.seed} of {cells[one.cell]}"
