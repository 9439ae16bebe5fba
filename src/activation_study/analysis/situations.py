"""A cell as a policy sees it: what its reader knows beforehand, how activations did, and what one seed changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import pandas as pd

from activation_study.analysis.replicas import evaluated
from activation_study.core.runs import cell_of

Budget = Literal["low", "high"]
OVERFITTING = 0.05
"""Training minus validation accuracy from which a network over-fits: five times the point that matters elsewhere."""


@dataclass(frozen=True)
class Situation:
    """What a reader knows beforehand: hidden layers, training samples, the budget, and whether ReLU over-fits.

    The article's exception for very large networks has no place: the largest here is 50 layers of 64 units.
    """

    depth: int
    samples: int
    budget: Budget
    overfitting: bool


@dataclass(frozen=True)
class Cell:
    """One dataset under one condition: mean tuning validation and mean test accuracy, both by activation.

    Only activations that have both; a diverged network counts at chance. `gap` is ReLU's training minus validation
    accuracy on evaluation seeds (the tuning runs record no training accuracy; no test score is read), NaN without it.
    `best` is ReLU's highest validation accuracy in all cells of the dataset, NaN without it. `trained` is the mean test
    accuracy of the evaluation seeds without a diverged network, `diverged` how many networks diverged, by activation.
    `by_seed` has the accuracies that both means are of, by role [seed, activation].
    """

    name: str
    dataset: str
    depth: int
    samples: int
    target: float
    gap: float
    best: float
    validation: pd.Series
    test: pd.Series
    trained: pd.Series
    diverged: pd.Series
    by_seed: Mapping[str, pd.DataFrame]
    n: int

    @property
    def condition(self) -> str:
        """The depth and the factors that are not at their default: which networks, on whatever dataset."""
        return self.name.removeprefix(f"{self.dataset}/")

    def situation(self, budget: Budget) -> Situation:
        return Situation(self.depth, self.samples, budget, self.gap > OVERFITTING)

    @property
    def reference(self) -> float:
        """Test accuracy of the activation that is best on tuning seeds."""
        return float(self.test[self.pick(list(self._validation))])

    def pick(self, names: Sequence[str]) -> str:
        """The best, on tuning seeds, of these."""
        return max(names, key=self._validation.__getitem__)

    @cached_property
    def _validation(self) -> dict[str, float]:
        """For look-ups, of which there are thousands."""
        return {str(name): float(value) for name, value in self.validation.items()}

    def regret(self, names: Sequence[str]) -> float:
        """What is lost to the reference by the pick of these."""
        return self.reference - float(self.test[self.pick(names)])

    def regret_by_seed(self, names: Sequence[str]) -> pd.Series:
        """The same of each evaluation seed."""
        scores = self.by_seed["evaluation"]
        return scores[self.pick(list(self._validation))] - scores[self.pick(names)]

    def lost(self, names: Sequence[str]) -> int:
        """How many networks diverged of the pick of these and of the reference."""
        return int(self.diverged[sorted({self.pick(names), self.pick(list(self._validation))})].sum())

    @property
    def of_trained(self) -> Cell:
        """With the test accuracies of what trained; the choices, by tuning seeds, stay."""
        return replace(self, test=self.trained)

    def without_each(self) -> dict[str, Cell]:
        """The cell without one of its seeds, by the seed's name; `best`, which other cells share, stays."""
        found = {}
        for role, means in (("tuning", "validation"), ("evaluation", "test")):
            values, whole = self.by_seed[role], getattr(self, means)
            for seed in values.index if len(values) > 1 else ():
                left = values.drop(index=seed).mean().fillna(whole)
                found[f"{role} seed {seed} of {self.dataset}/depth={self.depth}"] = replace(self, **{means: left})
        return found


def cells_of(runs: pd.DataFrame) -> list[Cell]:
    """The cells of one experiment's replicas; those without a score are left out."""
    runs = runs.assign(cell=runs["run"].map(cell_of))
    known = ~runs["status"].isin(["no_data", "pruned"])
    tuning = runs[known & (runs["role"] == "tuning") & runs["selected"].eq(True)]
    scored = evaluated(runs)
    relus = tuning[tuning["activation"] == "relu"].groupby(["dataset", "cell"])["validation_accuracy"].mean()
    best = relus.groupby("dataset").max()
    cells = []
    for name, replicas in tuning.groupby("cell"):
        own = scored[scored["cell"] == name]
        validation = replicas.groupby("activation")["validation_accuracy"].mean().dropna()
        test = own.groupby("activation")["test_accuracy"].mean().dropna()
        both = validation.index.intersection(test.index)
        if both.empty:
            continue
        relu = own[own["activation"] == "relu"]
        trained = own[own["networks_diverged"] == 0].groupby("activation")["test_accuracy"].mean()
        first = replicas.iloc[0]
        cells.append(
            Cell(
                name=str(name),
                dataset=first["dataset"],
                depth=int(first["depth"]),
                samples=int(first["train_samples"]),
                target=float(first["target"]),
                gap=float((relu["train_accuracy"] - relu["validation_accuracy"]).mean()),
                best=float(best.get(first["dataset"], float("nan"))),
                validation=validation[both],
                test=test[both],
                trained=trained.reindex(both),
                diverged=own.groupby("activation")["networks_diverged"].sum().reindex(both),
                by_seed={
                    role: rows.pivot(index="replicate", columns="activation", values=f"{scored_by}_accuracy")[both]
                    for role, rows, scored_by in (("tuning", replicas, "validation"), ("evaluation", own, "test"))
                },
                n=int(own["replicate"].nunique()),
            )
        )
    return cells
