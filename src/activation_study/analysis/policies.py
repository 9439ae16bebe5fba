"""The article's guidelines as policies, and what following them costs: policy regret.

A policy reads a situation and says which activations to try, in stages; the next stage is tried while the best tuning
validation accuracy so far misses the dataset's target, and the best of what was tried is its pick. Regret is the test
accuracy of the activation that is best on tuning seeds, out of all of them, minus that of the pick: the first is a
reference, not an oracle, so regret may be negative. Nothing is picked by a test score. No interval is given: datasets
are three.

Cost is counted in units of tuning ReLU: an activation costs the time of its training step over ReLU's, for the same
seeds, learning rates and steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import pandas as pd

from activation_study.analysis.replicas import evaluated, of_experiment
from activation_study.core.runs import cell_of

Budget = Literal["low", "high"]
Stages = Sequence[Sequence[str]]
LOW_BUDGET = 2.5
"""Units of tuning ReLU that a low budget pays for: ReLU and one other, also if its step takes half as long again."""
MUCH_DATA = 3_000
"""Training samples above which there is much data: the largest number to which the study cuts a training set."""
OVERFITTING = 0.05
"""Training minus validation accuracy from which a network over-fits: five times the point that matters elsewhere."""
COMPARED = 3
"""Activations that the study's own guide compares under a high budget: as many as the article's second step names."""
REGRET_COLUMNS = ("policy", "budget", "dataset", "depth", "cell", "tried", "spent", "pick", "regret", "n")


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
    """

    name: str
    dataset: str
    depth: int
    samples: int
    target: float
    gap: float
    validation: pd.Series
    test: pd.Series
    n: int

    def situation(self, budget: Budget) -> Situation:
        return Situation(self.depth, self.samples, budget, self.gap > OVERFITTING)

    @property
    def reference(self) -> float:
        """Test accuracy of the activation that is best on tuning seeds."""
        return float(self.test[self.validation.idxmax()])

    def regret(self, names: Sequence[str]) -> float:
        """What is lost to the reference by the best, on tuning seeds, of these."""
        return self.reference - float(self.test[self.validation[names].idxmax()])


def article_rows(ledger: pd.DataFrame) -> pd.DataFrame:
    """The ledger's rows on the article's claims, by row: those of the file that says `article: true`; else none.

    A ledger from before files said so has no such column, and none that can be told; of two such files, which no
    study has, the first counts.
    """
    if "article" not in ledger:
        return ledger.iloc[:0].set_index("row")
    return ledger[ledger["article"].eq(True)].drop_duplicates("row").set_index("row")


def first_relu(_: Situation) -> Stages:
    """The article's first step."""
    return (("relu",),)


def then_another(situation: Situation) -> Stages:
    """Its second: ELU where ReLU disappoints, but Leaky ReLU where computing is short."""
    return (("relu",), ("leaky_relu" if situation.budget == "low" else "elu",))


def with_time(situation: Situation) -> Stages:
    """Its third: with time to spare the others are compared as well, PReLU with much data, RReLU when over-fitting."""
    if situation.budget == "low":
        return then_another(situation)
    much = ["prelu"] if situation.samples > MUCH_DATA else []
    return (("relu", "leaky_relu", "elu", *much, *(["rrelu"] if situation.overfitting else [])),)


@dataclass(frozen=True)
class Step:
    """A step of the article's guide under a budget, which pays for `units` of tuning ReLU."""

    policy: str
    budget: Literal["any", "low", "high"]
    stages: Callable[[Situation], Stages]
    units: float = float("inf")

    def tries(self, cell: Cell, costs: Mapping[str, float]) -> list[str]:
        situation = cell.situation("low" if self.budget == "low" else "high")
        return tried(self.stages(situation), cell.validation, cell.target, costs, self.units)

    @property
    def names(self) -> list[str]:
        """All that it tries in one situation or another."""
        situation = Situation(1, MUCH_DATA + 1, "low" if self.budget == "low" else "high", overfitting=True)
        return [name for stage in self.stages(situation) for name in stage]


ARTICLE: Mapping[str, Step] = {
    "first": Step("step 1", "any", first_relu),
    "second_low": Step("step 2", "low", then_another, LOW_BUDGET),
    "second": Step("step 2", "high", then_another),
    "third": Step("step 3", "high", with_time),
}
"""The article's steps: the page's regrets follow them, and so do the ledger's rows that name one as their `step`."""


def tried(
    stages: Stages,
    validation: pd.Series,
    target: float,
    costs: Mapping[str, float] | None = None,
    budget: float = float("inf"),
) -> list[str]:
    """What a policy tries, in order; what is not in `validation` or no longer paid for is passed over.

    Args:
        validation: best tuning validation accuracy, by activation.
        target: below it, what has been tried is not promising.
        costs: units of tuning ReLU, one where an activation is not named.
        budget: units that may be spent.
    """
    names: list[str] = []
    for stage in stages:
        if names and validation[names].max() >= target:
            break
        for name in stage:
            if name in validation.index and spent([*names, name], costs or {}) <= budget:
                names.append(name)
    return names


def spent(names: Sequence[str], costs: Mapping[str, float]) -> float:
    return sum(costs.get(name, 1.0) for name in names)


def cells_of(runs: pd.DataFrame) -> list[Cell]:
    """The cells of one experiment's replicas; those without a score are left out."""
    runs = runs[~runs["status"].isin(["no_data", "pruned"])]
    runs = runs.assign(cell=runs["run"].map(cell_of))
    tuning = runs[(runs["role"] == "tuning") & runs["selected"].eq(True)]
    scored = evaluated(runs)
    cells = []
    for name, replicas in tuning.groupby("cell"):
        own = scored[scored["cell"] == name]
        validation = replicas.groupby("activation")["validation_accuracy"].mean().dropna()
        test = own.groupby("activation")["test_accuracy"].mean().dropna()
        both = validation.index.intersection(test.index)
        if both.empty:
            continue
        relu = own[own["activation"] == "relu"]
        first = replicas.iloc[0]
        cells.append(
            Cell(
                name=str(name),
                dataset=first["dataset"],
                depth=int(first["depth"]),
                samples=int(first["train_samples"]),
                target=float(first["target"]),
                gap=float((relu["train_accuracy"] - relu["validation_accuracy"]).mean()),
                validation=validation[both],
                test=test[both],
                n=int(own["replicate"].nunique()),
            )
        )
    return cells


def step_costs(cost: pd.DataFrame, width: float) -> pd.DataFrame:
    """Time of a training step over ReLU's, at the measured width nearest to `width`: index activation, columns
    ratio_to_relu, ratio_low, ratio_high. ReLU is the unit: beside itself it differs by timing noise only."""
    steps = cost[cost["quantity"] == "step"]
    columns = ["ratio_to_relu", "ratio_low", "ratio_high"]
    if steps.empty:
        return pd.DataFrame(columns=columns, dtype=float)
    nearest = min(steps["width"].unique(), key=lambda measured: abs(measured - width))
    ratios = steps[steps["width"] == nearest].set_index("activation")[columns].astype(float)
    ratios.loc[ratios.index == "relu"] = 1.0
    return ratios


def learnt_order(cells: Sequence[Cell]) -> list[str]:
    """Activations that all these cells have, best mean tuning validation accuracy first."""
    if not cells:
        return []
    means = pd.concat([cell.validation for cell in cells], axis=1).dropna().mean(axis=1)
    return means.sort_values(ascending=False, kind="stable").index.tolist()


def policy_regret(runs: pd.DataFrame, cost: pd.DataFrame) -> pd.DataFrame:
    """REGRET_COLUMNS, one row per policy, budget and cell of one experiment's replicas.

    Policies: the article's, step 1 to step 3; "guide", which tries the activation that is best on the *other* datasets
    at this depth, and "guide, compared", the best three of them; "best fixed", one activation for all depths, from the
    other datasets; "always X"; "random", the expectation over all activations, and "random pair", over all pairs that
    the low budget pays for; "reference", the best of all on tuning seeds. `budget` is "low", "high", or "any" where
    one activation is tuned. `spent` is in units of tuning ReLU; `n` counts evaluation seeds.
    """
    cells = cells_of(runs)
    width = float(runs["width"].median()) if len(runs) else 0.0
    costs = step_costs(cost, width)["ratio_to_relu"].to_dict()
    rows = []
    for cell in cells:
        about = {"dataset": cell.dataset, "depth": cell.depth, "cell": cell.name, "n": cell.n}
        for policy, budget, names in _staged(cell, cells, costs):
            trial = {"policy": policy, "budget": budget, "tried": ", ".join(names), "spent": spent(names, costs)}
            rows.append(about | trial | {"pick": cell.validation[names].idxmax(), "regret": cell.regret(names)})
        validation, test = cell.validation.to_dict(), cell.test.to_dict()
        for policy, budget, size in (("random", "any", 1), ("random pair", "low", 2)):
            sets = [list(names) for names in combinations(cell.test.index, size)]
            sets = [names for names in sets if size == 1 or spent(names, costs) <= LOW_BUDGET]
            if sets:
                picks = [max(names, key=validation.__getitem__) for names in sets]
                mean = sum(spent(names, costs) for names in sets) / len(sets)
                trial = {"policy": policy, "budget": budget, "tried": "", "spent": mean, "pick": ""}
                rows.append(about | trial | {"regret": cell.reference - sum(map(test.__getitem__, picks)) / len(picks)})
    return pd.DataFrame(rows, columns=REGRET_COLUMNS)


def _staged(
    cell: Cell, cells: Sequence[Cell], costs: Mapping[str, float]
) -> Iterator[tuple[str, Literal["low", "high", "any"], list[str]]]:
    """(policy, budget, what it tries in this cell) of every policy that tries something here."""
    others = [other for other in cells if other.dataset != cell.dataset]
    same = [other for other in others if other.depth == cell.depth]
    learnt = [name for name in learnt_order(same) if name in cell.validation.index]
    fixed = [name for name in learnt_order(others) if name in cell.validation.index]
    found: list[tuple[str, Literal["low", "high", "any"], list[str]]] = [
        *((step.policy, step.budget, step.tries(cell, costs)) for step in ARTICLE.values()),
        ("guide", "any", learnt[:1]),
        ("guide, compared", "high", learnt[:COMPARED]),
        ("best fixed", "any", fixed[:1]),
        ("reference", "high", cell.validation.index.tolist()),
        *((f"always {name}", "any", [name]) for name in cell.validation.index),
    ]
    yield from (one for one in found if one[2])


def by_dataset(regret: pd.DataFrame) -> pd.DataFrame:
    """One row per policy and budget: its mean regret over each dataset's cells, a column per dataset.

    Before those: cells, spent (mean), mean (over datasets, of equal weight) and worst (the dataset with most). An
    activation that not every cell has is judged on fewer `cells`, so its means are of another quantity.
    """
    keys = ["policy", "budget"]
    if regret.empty:
        return pd.DataFrame(columns=[*keys, "cells", "spent", "mean", "worst"])
    table = regret.pivot_table(index=keys, columns="dataset", values="regret", aggfunc="mean", sort=False)
    about = regret.groupby(keys, sort=False).agg(cells=("cell", "nunique"), spent=("spent", "mean"))
    about = about.assign(mean=table.mean(axis=1), worst=table.max(axis=1))
    return about.join(table).reset_index()


def conditional_regret(tables: Mapping[str, pd.DataFrame], experiments: Sequence[str]) -> pd.DataFrame:
    """Whether the third step's two conditions pay: one row per cell of `experiments` that has PReLU and RReLU.

    Columns experiment, dataset, depth, samples, much_data, gap, overfitting, n, and the regret, against the best of
    all that were run in the cell, of comparing ReLU, Leaky ReLU and ELU (those there): `without`; with PReLU or RReLU
    added: `with_prelu`, `with_rrelu`; and as the article says: `article`.
    """
    rows = []
    for experiment in experiments:
        for cell in cells_of(of_experiment(tables["runs"], tables["experiments"], experiment)):
            if not {"prelu", "rrelu", "relu"} <= set(cell.test.index):
                continue
            base = ("relu", "leaky_relu", "elu")
            stages = {
                "without": (base,),
                "with_prelu": ((*base, "prelu"),),
                "with_rrelu": ((*base, "rrelu"),),
                "article": with_time(cell.situation("high")),
            }
            names = {key: tried(value, cell.validation, cell.target) for key, value in stages.items()}
            regrets = {key: cell.regret(value) for key, value in names.items()}
            about = {"experiment": experiment, "dataset": cell.dataset, "depth": cell.depth, "samples": cell.samples}
            about |= {"much_data": cell.samples > MUCH_DATA, "gap": cell.gap, "overfitting": cell.gap > OVERFITTING}
            rows.append(about | {"n": cell.n} | regrets)
    columns = ["experiment", "dataset", "depth", "samples", "much_data", "gap", "overfitting", "n"]
    return pd.DataFrame(rows, columns=[*columns, "without", "with_prelu", "with_rrelu", "article"])
