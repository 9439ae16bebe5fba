"""What many datasets say of a new one: the dataset is a random effect, and a replicate's seed is noise within it.

The datasets of an experiment are taken for a sample of those that a reader may have. A dataset's value is its mean
over conditions (depth, network), each of equal weight; so noise over seeds is in the spread of the values, and the
intervals, `inference.over_datasets`, need no more. Only datasets that have every activation in every condition take
part: a mean over others would be of another quantity.

A t interval for a new dataset asks for values that are about normal. Two things here do not: `covered`, how many of the
datasets lie within the interval that the others give; and the largest value of D datasets, which a new one exceeds with
a probability of at most 1/(D + 1), whatever their distribution.
"""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from activation_study.analysis.inference import MIN_DATASETS, difference_test, holm, over_datasets, stratified_interval
from activation_study.analysis.replicas import evaluated
from activation_study.core.runs import RunId

ALL = "all"
"""The `condition` of a mean over all of them."""
TRAITS = ("samples", "features", "classes")
"""What is known of a dataset beforehand, that differences may go with."""
ENDS = ("", "_low", "_high")


def complete_scores(runs: pd.DataFrame) -> pd.DataFrame:
    """Test accuracy of one experiment's evaluation networks, a column per activation.

    One row per dataset, condition and replicate, of the datasets that have every activation in every condition; one in
    which some activation has no score on any dataset is none.
    """
    networks = evaluated(runs)
    networks = networks.assign(condition=networks["run"].map(lambda run: RunId.read(run).condition))
    keys = ["dataset", "condition", "replicate"]
    scores = networks.pivot(index=keys, columns="activation", values="test_accuracy").astype(float)
    means = scores.groupby(level=[0, 1]).mean()
    common = means.notna().groupby(level=1).any().all(axis=1)
    scores = scores[scores.index.get_level_values(1).isin(common.index[common])]
    means = means[means.index.get_level_values(1).isin(common.index[common])]
    whole = means.notna().all(axis=1).groupby(level=0).sum() == means.index.get_level_values(1).nunique()
    return scores[scores.index.get_level_values(0).isin(whole.index[whole])]


def means(scores: pd.DataFrame) -> pd.DataFrame:
    """Dataset × activation: means over seeds, then over conditions."""
    return scores.groupby(level=[0, 1]).mean().groupby(level=0).mean()


def speaks_of_new(scores: pd.DataFrame) -> bool:
    """Whether there are enough datasets for a sentence about another one."""
    return scores.index.get_level_values(0).nunique() >= MIN_DATASETS


def effects(scores: pd.DataFrame, reference: str = "relu") -> pd.DataFrame:
    """Each activation minus the reference, over datasets: one row per condition, `ALL` first, and activation.

    Columns condition, activation, datasets, difference (_low, _high: 95% for the mean over datasets like these),
    new_low and new_high (95% for the estimate on a new one), sd (over datasets), noise (that part of it which is of
    evaluation seeds: root mean square of the standard errors), better (datasets with a difference above zero),
    covered, p (two-sided t) and p_holm (over the condition's activations).
    """
    parts = [(ALL, scores)] + [(str(name), rows) for name, rows in scores.groupby(level=1)]
    found = []
    for condition, rows in parts if len(parts) > 2 else parts[:1]:
        table = pd.DataFrame(
            [
                {"condition": condition, "activation": name} | _effect(rows[name] - rows[reference])
                for name in rows.columns.drop(reference)
            ]
        )
        found.append(table.assign(p_holm=holm(table["p"])))
    return pd.concat(found, ignore_index=True)


def _effect(differences: pd.Series) -> dict[str, float]:
    by_dataset = [one.unstack("replicate").to_numpy() for _, one in differences.groupby(level=0)]
    values = np.array([stratified_interval(one).estimate for one in by_dataset])
    mean, new = over_datasets(values)
    return {
        "datasets": len(values),
        **dict(zip([f"difference{end}" for end in ENDS], (mean.estimate, mean.low, mean.high), strict=True)),
        "new_low": new.low,
        "new_high": new.high,
        "sd": float(values.std(ddof=1)),
        "noise": float(np.sqrt(np.mean([stratified_interval(one).se ** 2 for one in by_dataset]))),
        "better": int((values > 0).sum()),
        "covered": covered(values),
        "p": difference_test(values[None], 0.0).p,
    }


def covered(values: NDArray[np.float64]) -> int:
    """How many of the values lie within the 95% interval for a new one that the others give."""
    intervals = [over_datasets(np.delete(values, place))[1] for place in range(len(values))]
    return sum(one.low <= value <= one.high for one, value in zip(intervals, values, strict=True))


def policies(regret: pd.DataFrame) -> pd.DataFrame:
    """What following a policy costs on a dataset that it has not seen: one row per policy and budget.

    `regret` is that of `policies.policy_regret`, where what a policy learns is of the other datasets; a dataset's is
    its mean over cells. Columns policy, budget, datasets, spent, regret (_low, _high), new_low, new_high, worst (a
    dataset's, which a new one's exceeds with a probability of at most 1/(datasets + 1)), worst_on, covered, and saved
    (_low, _high), by how much less is lost than by the first step, ReLU alone. A policy that lacks a cell is left out.
    The regrets of what is learnt share most of what it was learnt from; the interval takes them for independent.
    """
    keys = ["policy", "budget"]
    cells = regret.groupby(keys, sort=False)["cell"].nunique()
    kept = regret[regret.set_index(keys).index.isin(cells.index[cells == regret["cell"].nunique()])]
    table = kept.pivot_table(index=keys, columns="dataset", values="regret", aggfunc="mean", sort=False)
    spent = kept.groupby(keys, sort=False)["spent"].mean()
    first = table.loc[("step 1", "any")] if ("step 1", "any") in table.index else None
    rows = []
    for key, values in table.iterrows():
        mean, new = over_datasets(values)
        saved = over_datasets(first - values)[0] if first is not None else None
        ends = (saved.estimate, saved.low, saved.high) if saved else (np.nan,) * 3
        rows.append(
            dict(zip(keys, key, strict=True))
            | {"datasets": len(values), "spent": float(spent[key])}
            | dict(zip([f"regret{end}" for end in ENDS], (mean.estimate, mean.low, mean.high), strict=True))
            | {"new_low": new.low, "new_high": new.high, "worst": float(values.max()), "worst_on": values.idxmax()}
            | {"covered": covered(values.to_numpy())}
            | dict(zip([f"saved{end}" for end in ENDS], ends, strict=True))
        )
    return pd.DataFrame(rows)


def heterogeneity(scores: pd.DataFrame, datasets: pd.DataFrame, reference: str = "relu") -> pd.DataFrame:
    """Whether differences from the reference go with what is known of a dataset: exploratory, it decides nothing.

    One row per activation and trait that varies: Spearman's rank correlation `rho` over `datasets`, its p, and p_holm
    over all.
    """
    values = means(scores)
    known = datasets.set_index("dataset").loc[values.index, list(TRAITS)]
    rows = []
    varying = [trait for trait in TRAITS if known[trait].nunique() > 1]
    for name, trait in itertools.product(values.columns.drop(reference), varying):
        found = stats.spearmanr(values[name] - values[reference], known[trait])
        told = {"rho": float(found.statistic), "p": float(found.pvalue)}
        rows.append({"activation": name, "trait": trait, "datasets": len(values)} | told)
    table = pd.DataFrame(rows, columns=["activation", "trait", "datasets", "rho", "p"])
    return table.assign(p_holm=holm(table["p"]))
