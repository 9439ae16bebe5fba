"""Which activation to use in a situation, with the evidence and how sure it is.

The evidence is test accuracy on evaluation seeds, paired over activations. Fixed in advance: what a low budget affords
(`DEARER`), which differences matter (`NEAR`), and the rule of confidence, which has three conditions:

1. tested: the depth was trained, with that many samples, on at least three cells with at least five seeds, and with
   every activation of the study (this last part was added after the first results; it can only lower a confidence);
2. alike: on every dataset the pick is within a point of the best;
3. settled: if one of those not distinguishable from the pick is better after all, it is by less than a point.

Confidence is high when all three hold, moderate when one fails, low otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import get_args

import pandas as pd

from activation_study.analysis.inference import MIN_CELLS, MIN_SEEDS, Interval
from activation_study.analysis.policies import article_rows, median_width, step_costs
from activation_study.analysis.replicas import of_experiment, tuned
from activation_study.analysis.situations import Budget
from activation_study.analysis.standing import Standing, by_cell, complete, standings, tuned_table, whole
from activation_study.analysis.tuned import tuned_interval
from activation_study.claims.rows import Row
from activation_study.core.runs import cell_of

NEAR = 0.01
"""The difference of test accuracy that matters: a point, as in the claims."""
DEARER = 1.1
"""Ratio of a step's time to ReLU's from which a low budget rules it out, if the whole interval is above one."""
MLP = "mlp"
CORE, SIZES = "core", "data_size"
"""The experiments that it rests on: all training samples, and fewer."""
CONFIDENCE = ("high", "moderate", "low", "low")
"""By how many of the three conditions fail."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """Replicas, as `tuned` gives them, by experiment, the costs of a step at the reader's width, the ledger's rows on
    the article's claims by id, and the rows of the claims file.

    `network` is the family of networks that it is about, and `core` the experiment of these.
    """

    replicas: Mapping[str, pd.DataFrame]
    costs: pd.DataFrame
    ledger: pd.DataFrame
    rows: Sequence[Row] = ()
    network: str = MLP
    core: str = CORE

    @classmethod
    def of(
        cls,
        tables: Mapping[str, pd.DataFrame],
        rows: Sequence[Row] = (),
        width: float | None = None,
        network: str = MLP,
        normalisation: str | None = None,
    ) -> Evidence:
        """From the tables runs, experiments, cost and ledger, of which any may be empty, and `rows.guide_rows`.

        `width` is the reader's, in units per layer; by default that of the study's networks. Of another `network` than
        multilayer perceptrons, the first experiment that has it counts; of these the `normalisation`, if one is asked.
        """
        scored = tuned(tables["runs"])
        if network != MLP or normalisation:
            return cls._of_network(tables, rows, scored, width, network, normalisation)
        scored = scored.assign(cell=scored["run"].map(cell_of), samples_asked=scored["train_size"].astype(float))
        names = tables["experiments"]["experiment"].tolist()
        core = CORE if CORE in names else (names[0] if names else "")
        replicas = {CORE: of_experiment(scored, tables["experiments"], core) if core else scored}
        sizes = of_experiment(scored, tables["experiments"], SIZES)
        replicas[SIZES] = sizes[sizes["samples_asked"].notna()]
        costs = step_costs(tables["cost"], width or median_width(scored))
        return cls(replicas, costs, article_rows(tables["ledger"]), rows)

    @classmethod
    def _of_network(
        cls,
        tables: Mapping[str, pd.DataFrame],
        rows: Sequence[Row],
        scored: pd.DataFrame,
        width: float | None,
        network: str,
        normalisation: str | None,
    ) -> Evidence:
        scored = scored[of_network(scored, network, normalisation)]
        scored = scored.assign(cell=scored["run"].map(cell_of), samples_asked=scored["train_size"].astype(float))
        named = tables["experiments"]
        core = next(iter(named.loc[named["run"].isin(scored["run"]), "experiment"]), "")
        replicas = {CORE: of_experiment(scored, named, core), SIZES: scored.iloc[:0]}
        costs = step_costs(tables["cost"], width or median_width(scored))
        return cls(replicas, costs, article_rows(tables["ledger"]), rows, network, core)

    @property
    def depths(self) -> list[int]:
        return sorted(int(depth) for depth in self.replicas[CORE]["depth"].unique())

    def sizes(self, depth: int) -> list[int]:
        """Reduced numbers of training samples that every dataset of the core was trained with at this depth."""
        rows = self.replicas[SIZES]
        datasets = rows[rows["depth"] == depth].groupby("samples_asked")["dataset"].nunique()
        return [int(size) for size, count in datasets.items() if count == self.replicas[CORE]["dataset"].nunique()]


@dataclass(frozen=True)
class Recommendation:
    """The pick with its evidence. `samples` None stands for all the training samples of the datasets.

    `tested_depth` and `tested_samples` (fewest, most) are those of the networks behind it. `others`: all that were
    compared, best first; `excluded`: what the budget rules out; `untried`: what was not trained in this situation;
    `datasets`: the pick's test accuracy on each;
    `notes`: where the answer is for another situation than was asked; `failed`: the conditions of confidence that do
    not hold, in words; `rows`: ids of ledger rows.
    """

    depth: int
    samples: int | None
    budget: Budget
    overfitting: bool
    tested_depth: int
    tested_samples: tuple[int, int]
    pick: str
    accuracy: Interval
    n: int
    cells: int
    seeds: int
    diverged: int
    others: Sequence[Standing]
    excluded: Sequence[str]
    untried: Sequence[str]
    datasets: Mapping[str, float]
    notes: Sequence[str]
    failed: Sequence[str]
    rows: Sequence[str]

    @property
    def runner_ups(self) -> list[Standing]:
        """Those not distinguishable from the pick, or better than it where over-fitting decided."""
        return [other for other in self.others if other.tied or other.difference.estimate > 0]

    @property
    def worth_trying(self) -> list[Standing]:
        """Those of them that may be better than the pick."""
        return [other for other in self.runner_ups if not other.difference.high <= 0]

    @property
    def confidence(self) -> str:
        return CONFIDENCE[len(self.failed)]


def recommend(
    evidence: Evidence, depth: int, samples: int | None, budget: Budget, overfitting: bool
) -> Recommendation | None:
    """The answer for one situation; None where there is nothing to choose from.

    The pick has the highest mean test accuracy; when over-fitting, of those not distinguishable from it and less than a
    point behind, the one with the smallest gap between training and test accuracy.
    """
    nearest, size, notes = _situation(evidence, depth, samples)
    if nearest is None:
        return None
    compared = _compared(evidence, nearest, size, budget)
    if compared is None:
        return None
    replicas, scores, others = compared.replicas, compared.scores, compared.others
    pick = best = scores.columns[0]
    if overfitting:
        gap = (replicas["train_accuracy"] - replicas["test_accuracy"]).groupby(replicas["activation"]).mean()
        close = [other.name for other in others if other.tied and other.difference.estimate > -NEAR]
        pick = min([best, *close], key=lambda name: gap[name])
        others = others if pick == best else _others(scores, pick)
    own = replicas[replicas["activation"] == pick]
    means = replicas[replicas["activation"].isin(scores.columns)].groupby(["dataset", "activation"])["test_accuracy"]
    means = means.mean().unstack("activation")
    cells = whole(scores).index.get_level_values("cell").nunique()
    seeds = int(own.groupby("cell").size().min())
    return Recommendation(
        depth=depth,
        samples=samples,
        budget=budget,
        overfitting=overfitting,
        tested_depth=nearest,
        tested_samples=(int(own["train_samples"].min()), int(own["train_samples"].max())),
        pick=pick,
        accuracy=tuned_interval(by_cell(scores[pick])).within(0, 1),
        n=len(own),
        cells=cells,
        seeds=seeds,
        diverged=int((own["status"] == "diverged").sum()),
        others=others,
        excluded=compared.excluded,
        untried=compared.untried,
        datasets={str(name): float(value) for name, value in means[pick].items()},
        notes=notes,
        failed=_failed([*notes, *_untried(evidence, compared)], cells, seeds, means, pick, others),
        rows=[
            row.id
            for row in evidence.rows
            if pick in row.cited
            and row.experiment == (SIZES if size else evidence.core)
            and _known(evidence.ledger, row.id)
        ],
    )


def table(evidence: Evidence) -> list[Recommendation]:
    """Every tested depth × number of samples × budget × over-fitting."""
    depths = evidence.depths
    sizes = sorted({size for depth in depths for size in evidence.sizes(depth)})
    asked = [
        (depth, samples, budget, overfitting)
        for depth in depths
        for samples in (None, *reversed(sizes))
        for budget in get_args(Budget)
        for overfitting in (False, True)
    ]
    return [answer for situation in asked if (answer := recommend(evidence, *situation)) is not None]


def of_network(runs: pd.DataFrame, network: str, normalisation: str | None = None) -> pd.Series:
    """Which rows are of that family of networks, and of that normalisation where one is asked for."""
    found = (runs["network"] if "network" in runs else pd.Series(MLP, runs.index)) == network
    return found if normalisation is None else found & (runs["normalisation"] == normalisation)


def _situation(evidence: Evidence, depth: int, samples: int | None) -> tuple[int | None, int | None, list[str]]:
    """(depth, reduced number of samples or None for all) that were trained and are nearest, and what differs."""
    core, notes = evidence.replicas[CORE], list[str]()
    if core.empty:
        return None, None, notes
    nearest = min(evidence.depths, key=lambda tested: (abs(math.log(tested / depth)), tested))
    if nearest != depth:
        notes.append(f"{depth} layers were not trained: nearest tested depth {nearest}")
    trained = core.loc[core["depth"] == nearest, "train_samples"]
    fewest, most = int(trained.min()), int(trained.max())
    tested = f"{fewest:,} to {most:,} samples" if fewest < most else f"{fewest:,} samples"
    if samples is None or samples in set(trained):
        return nearest, None, notes
    if fewest < samples < most:
        notes.append(f"{samples:,} samples lie between those trained on: {tested}, one number for each dataset")
        return nearest, None, notes
    if samples > most:
        notes.append(f"{samples:,} samples are more than were trained on: {tested}")
        return nearest, None, notes
    size = min([fewest, *evidence.sizes(nearest)], key=lambda one: abs(math.log(one / samples)))
    if size == fewest:
        notes.append(f"{samples:,} samples were not trained on at {nearest} layers: the answer is for {tested}")
        return nearest, None, notes
    if size != samples:
        notes.append(f"{samples:,} samples were not trained on: nearest tested number {size:,}")
    return nearest, size, notes


@dataclass(frozen=True)
class _Compared:
    """Replicas of one trained condition, and the scores of those within the budget, best first."""

    replicas: pd.DataFrame
    scores: pd.DataFrame
    excluded: list[str]
    untried: list[str]
    others: list[Standing]


@lru_cache(maxsize=64)
def _compared(evidence: Evidence, depth: int, size: int | None, budget: Budget) -> _Compared | None:
    """The comparison under one trained condition; many situations come down to the same."""
    rows = evidence.replicas[CORE if size is None else SIZES]
    rows = rows[(rows["depth"] == depth) & ((size is None) | (rows["samples_asked"] == size))]
    scores = complete(tuned_table(rows, "test_accuracy", ("cell",)))
    untried = sorted(set(evidence.replicas[CORE]["activation"]) - set(scores))
    costs = evidence.costs
    dear = costs.index[(costs["ratio_to_relu"] >= DEARER) & (costs["ratio_low"] > 1)]
    # Where costs were measured, what was not timed is not known to be cheap.
    excluded = [n for n in sorted(scores) if budget == "low" and len(costs) and (n in dear or n not in costs.index)]
    scores = scores.drop(columns=excluded)
    if scores.empty:
        return None
    return _Compared(rows, scores, excluded, untried, _others(scores, scores.columns[0]))


def _others(scores: pd.DataFrame, pick: str) -> list[Standing]:
    return [one for one in standings(scores, pick) if one.name != pick]


def _untried(evidence: Evidence, compared: _Compared) -> list[str]:
    """That not all of the study's activations were compared, if so."""
    if not compared.untried:
        return []
    of = evidence.replicas[CORE]["activation"].nunique()
    return [f"{len(compared.untried)} of {of} activations not trained there: {', '.join(compared.untried)}"]


def _failed(
    notes: Sequence[str], cells: int, seeds: int, means: pd.DataFrame, pick: str, others: Sequence[Standing]
) -> list[str]:
    """The conditions of confidence that do not hold, in words."""
    failed = []
    if notes or cells < MIN_CELLS or seeds < MIN_SEEDS:
        few = [f"only {cells} cell{'s' * (cells != 1)} with {seeds} seeds"] if not notes else []
        failed.append("; ".join([*notes, *few]))
    behind = means.max(axis=1) - means[pick]
    if (behind > NEAR).any():
        shown = ", ".join(
            f"{100 * gap:z.1f} points behind {means.loc[name].idxmax()} on {name}"
            for name, gap in behind.items()
            if gap > NEAR
        )
        failed.append(f"datasets differ: {shown}")
    open_ = {o.name: o.difference.high for o in others if o.tied and not o.difference.high <= NEAR}
    if open_:
        worst = max(open_, key=lambda name: open_[name] if open_[name] == open_[name] else math.inf)
        by = f"by up to {100 * open_[worst]:z.1f} points" if open_[worst] == open_[worst] else "by an unknown margin"
        failed.append(f"not settled: {worst} may be better {by}")
    return failed


def _known(ledger: pd.DataFrame, row: str) -> bool:
    return row in ledger.index and pd.notna(ledger.loc[row, "estimate"])
