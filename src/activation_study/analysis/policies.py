"""The article's guidelines as policies, and what following them costs: policy regret.

A policy reads a situation and says which activations to try, in stages; the next stage is tried while the best tuning
validation accuracy so far disappoints, and the best of what was tried is its pick. When it disappoints is the reader's
to see: below `PROMISING` of the best that ReLU, which is tried first, has reached on the dataset so far, at any depth;
beside that stands the same policy with the dataset's fixed target. Regret is the test
accuracy of the activation that is best on tuning seeds, out of all of them, minus that of the pick: the first is a
reference, not an oracle, so regret may be negative. Nothing is picked by a test score. No interval is given: datasets
are three.

Cost is counted in units of tuning ReLU: an activation costs the time of its training step over ReLU's, for the same
seeds, learning rates and steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal, NamedTuple

import pandas as pd

from activation_study.analysis.replicas import of_experiment
from activation_study.analysis.situations import OVERFITTING, Cell, Situation, cells_of

Stages = Sequence[Sequence[str]]
LOW_BUDGET = 2.5
"""Units of tuning ReLU that a low budget pays for: ReLU and one other, also if its step takes half as long again."""
MUCH_DATA = 3_000
"""Training samples above which there is much data: the largest number to which the study cuts a training set."""
PROMISING = 0.95
"""Share of the best validation accuracy so far below which an activation disappoints; fixed after the first results."""
COMPARED = 3
"""Activations that the study's own guide compares under a high budget: as many as the article's second step names."""
OTHERS = ("relu", "leaky_relu", "elu")
"""What the third step compares whatever the situation."""
REGRET_COLUMNS = (
    "policy", "budget", "dataset", "depth", "cell", "tried", "spent", "pick", "regret", "lowest", "highest", "trained",
    "diverged", "n",
)  # fmt: skip


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
    return ((*OTHERS, *much, *(["rrelu"] if situation.overfitting else [])),)


def readers(cell: Cell) -> float:
    """The validation accuracy below which the reader goes on: where the cells have one depth, never."""
    return PROMISING * cell.best


def fixed(cell: Cell) -> float:
    """The same by the dataset's target."""
    return cell.target


@dataclass(frozen=True)
class Step:
    """A step of the article's guide under a budget, which pays for `units` of tuning ReLU.

    The next of its stages is tried while the best validation accuracy so far is below `promising`.
    """

    policy: str
    budget: Literal["any", "low", "high"]
    stages: Callable[[Situation], Stages]
    units: float = float("inf")
    promising: Callable[[Cell], float] = readers

    def tries(self, cell: Cell, costs: Mapping[str, float]) -> list[str]:
        """In order; nothing in a cell that has none of what the step adds to ReLU, where it was not followed."""
        added = set(self.names) - {"relu"}
        if added and added.isdisjoint(cell.validation.index):
            return []
        situation = cell.situation("low" if self.budget == "low" else "high")
        return tried(self.stages(situation), cell.validation, self.promising(cell), costs, self.units)

    @property
    def names(self) -> list[str]:
        """All that it tries in one situation or another."""
        situation = Situation(1, MUCH_DATA + 1, "low" if self.budget == "low" else "high", overfitting=True)
        return [name for stage in self.stages(situation) for name in stage]


ARTICLE: Mapping[str, Step] = {
    "first": Step("step 1", "any", first_relu),
    "second_low": Step("step 2", "low", then_another, LOW_BUDGET),
    "second": Step("step 2", "high", then_another),
    "second_target": Step("step 2, fixed target", "high", then_another, promising=fixed),
    "third": Step("step 3", "high", with_time),
}
"""The article's steps: the page's regrets follow them, and so do the ledger's rows that name one as their `step`."""


def tried(
    stages: Stages,
    validation: pd.Series,
    promising: float,
    costs: Mapping[str, float] | None = None,
    budget: float = float("inf"),
) -> list[str]:
    """What a policy tries, in order; what is not in `validation` or no longer paid for is passed over.

    Args:
        validation: best tuning validation accuracy, by activation.
        promising: below it, what has been tried disappoints; NaN never does.
        costs: units of tuning ReLU, one where an activation is not named.
        budget: units that may be spent.
    """
    names: list[str] = []
    for stage in stages:
        if names and not validation[names].max() < promising:
            break
        for name in stage:
            if name in validation.index and spent([*names, name], costs or {}) <= budget:
                names.append(name)
    return names


def spent(names: Sequence[str], costs: Mapping[str, float]) -> float:
    return sum(costs.get(name, 1.0) for name in names)


def step_costs(cost: pd.DataFrame, width: float) -> pd.DataFrame:
    """Time of a training step over ReLU's, at the timed width whose ratio to `width` is nearest to one: index
    activation, columns width, ratio_to_relu, ratio_low, ratio_high. ReLU is the unit: beside itself it differs by
    timing noise only."""
    steps = cost[cost["quantity"] == "step"]
    columns = ["ratio_to_relu", "ratio_low", "ratio_high"]
    if steps.empty:
        return pd.DataFrame(columns=["width", *columns], dtype=float)
    nearest = min(sorted(steps["width"].unique()), key=lambda timed: abs(math.log(timed / max(width, 1))))
    ratios = steps[steps["width"] == nearest].set_index("activation")[["width", *columns]]
    ratios = ratios.astype(dict.fromkeys(columns, float))
    ratios.loc[ratios.index == "relu", columns] = 1.0
    return ratios


def median_width(runs: pd.DataFrame) -> float:
    """Units per layer of the networks, 0 without any."""
    return float(runs["width"].median()) if len(runs) else 0.0


def learnt_order(cells: Sequence[Cell]) -> list[str]:
    """Activations that all these cells have, best mean tuning validation accuracy first."""
    if not cells:
        return []
    means = pd.concat([cell.validation for cell in cells], axis=1).dropna().mean(axis=1)
    return means.sort_values(ascending=False, kind="stable").index.tolist()


def policy_regret(runs: pd.DataFrame, cost: pd.DataFrame, width: float | None = None) -> pd.DataFrame:
    """REGRET_COLUMNS, one row per policy, budget and cell of one experiment's replicas.

    Policies: the article's, step 1 to step 3, the second also with the dataset's fixed target; "guide", which tries the
    activation that is best on the *other* datasets in such networks, of this depth, and "guide, compared", the best
    three of them; "best fixed", one activation for all networks, from the other datasets; "always X"; "random", the
    expectation over all activations, and "random pair", over all pairs that the low budget pays for; "reference", the
    best of all on tuning seeds. `budget` is "low", "high", or "any" where one activation is tuned. `spent` is in units
    of tuning ReLU, at the reader's `width`, by default that of the networks; `n` counts evaluation seeds.

    `lowest` and `highest` are the regret's range when any one of the cell's seeds is left out. `trained` is the regret
    with the test accuracies of what trained, and `diverged` how many networks of the pick and the reference did not (of
    all activations, where no single one is picked).
    """
    cells = cells_of(runs)
    costs = step_costs(cost, width or median_width(runs))["ratio_to_relu"].to_dict()
    rows, teacher = [], _Teacher(cells)
    for cell in cells:
        about = {"dataset": cell.dataset, "depth": cell.depth, "cell": cell.name, "n": cell.n}
        learnt = teacher.learnt(cell)
        without = [_regrets(other, learnt, costs) for other in cell.without_each().values()]
        trained = {key: one.regret for key, one in _regrets(cell.of_trained, learnt, costs).items()}
        for key, one in _regrets(cell, learnt, costs).items():
            others = [one.regret, *(left[key].regret for left in without if key in left)]
            least = {"lowest": min(others), "highest": max(others), "trained": trained[key]}
            least["diverged"] = cell.lost([one.pick]) if one.pick else int(cell.diverged.sum())
            rows.append({"policy": key[0], "budget": key[1]} | about | one._asdict() | least)
    return pd.DataFrame(rows, columns=REGRET_COLUMNS)


class Followed(NamedTuple):
    """What a policy comes to in a cell: what it tries, for how much, its pick ("" for several), and its regret."""

    tried: str
    spent: float
    pick: str
    regret: float


class Learnt(NamedTuple):
    """The order of activations that the other datasets teach: in networks like the cell's, and in all."""

    alike: Sequence[str]
    everywhere: Sequence[str]


class _Teacher:
    """What the other datasets teach, looked up once for each dataset and condition, as cells are many."""

    def __init__(self, cells: Sequence[Cell]) -> None:
        self._cells = cells
        self._known: dict[tuple[str, object], list[str]] = {}

    def learnt(self, cell: Cell) -> Learnt:
        """Of the activations that the cell has."""
        orders = (self._order(cell.dataset, condition) for condition in (cell.condition, None))
        return Learnt(*([name for name in order if name in cell.validation.index] for order in orders))

    def _order(self, dataset: str, condition: object) -> list[str]:
        if (dataset, condition) not in self._known:
            others = [other for other in self._cells if other.dataset != dataset]
            alike = [other for other in others if condition in (None, other.condition)]
            self._known[dataset, condition] = learnt_order(alike)
        return self._known[dataset, condition]


def _regrets(cell: Cell, learnt: Learnt, costs: Mapping[str, float]) -> dict[tuple[str, str], Followed]:
    """By policy and budget."""
    found = {}
    for policy, budget, names in _staged(cell, learnt, costs):
        cost = spent(names, costs)
        found[policy, str(budget)] = Followed(", ".join(names), cost, cell.pick(names), cell.regret(names))
    validation, test = cell.validation.to_dict(), cell.test.to_dict()
    for policy, budget, size in (("random", "any", 1), ("random pair", "low", 2)):
        sets = [list(names) for names in combinations(cell.test.index, size)]
        sets = [names for names in sets if size == 1 or spent(names, costs) <= LOW_BUDGET]
        if sets:
            picks = [max(names, key=validation.__getitem__) for names in sets]
            mean = sum(spent(names, costs) for names in sets) / len(sets)
            regret = cell.reference - sum(map(test.__getitem__, picks)) / len(picks)
            found[policy, budget] = Followed("", mean, "", regret)
    return found


def _staged(
    cell: Cell, learnt: Learnt, costs: Mapping[str, float]
) -> Iterator[tuple[str, Literal["low", "high", "any"], list[str]]]:
    """(policy, budget, what it tries in this cell) of every policy that tries something here."""
    found: list[tuple[str, Literal["low", "high", "any"], list[str]]] = [
        *((step.policy, step.budget, step.tries(cell, costs)) for step in ARTICLE.values()),
        ("guide", "any", [*learnt.alike[:1]]),
        ("guide, compared", "high", [*learnt.alike[:COMPARED]]),
        ("best fixed", "any", [*learnt.everywhere[:1]]),
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


def ranges(regret: pd.DataFrame) -> pd.DataFrame:
    """By policy, budget and dataset: mean over its cells of `regret` and `trained`, the `diverged` networks, `n`
    evaluation seeds, and the mean regret's range, `lowest` to `highest`, when any one seed of a cell is left out."""
    keys = ["policy", "budget", "dataset"]
    moved = regret.assign(low=regret["lowest"] - regret["regret"], high=regret["highest"] - regret["regret"])
    found = moved.groupby(keys, sort=False).agg(
        regret=("regret", "mean"), trained=("trained", "mean"), diverged=("diverged", "sum"), n=("n", "sum"),
        cells=("cell", "nunique"), low=("low", "min"), high=("high", "max"),
    )  # fmt: skip
    lowest, highest = (found["regret"] + found[end] / found["cells"] for end in ("low", "high"))
    return found.assign(lowest=lowest, highest=highest).drop(columns=["low", "high", "cells"])


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
            stages = {
                "without": (OTHERS,),
                "with_prelu": ((*OTHERS, "prelu"),),
                "with_rrelu": ((*OTHERS, "rrelu"),),
                "article": with_time(cell.situation("high")),
            }
            names = {key: tried(value, cell.validation, math.inf) for key, value in stages.items()}
            regrets = {key: cell.regret(value) for key, value in names.items()}
            about = {"experiment": experiment, "dataset": cell.dataset, "depth": cell.depth, "samples": cell.samples}
            about |= {"much_data": cell.samples > MUCH_DATA, "gap": cell.gap, "overfitting": cell.gap > OVERFITTING}
            rows.append(about | {"n": cell.n} | regrets)
    columns = ["experiment", "dataset", "depth", "samples", "much_data", "gap", "overfitting", "n"]
    return pd.DataFrame(rows, columns=[*columns, "without", "with_prelu", "with_rrelu", "article"])
