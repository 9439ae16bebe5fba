"""What is said of a new dataset, against direct computation."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.api import OLS

from activation_study.analysis import new_datasets
from activation_study.analysis.new_datasets import ALL
from activation_study.analysis.policies import policy_regret
from weighted import weighted

DATASETS = [f"set_{number:02}" for number in range(14)]
KEYS = ["dataset", "condition", "replicate"]


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def random_scores(rng: np.random.Generator, seeds: int = 3) -> pd.DataFrame:
    """Two conditions; a dataset's, a seed's and a network's noise."""
    rows = pd.MultiIndex.from_product([DATASETS, ["depth=16", "depth=4"], range(seeds)], names=KEYS)
    table = pd.DataFrame(rng.normal(0.8, 0.01, (len(rows), 3)), rows, ["elu", "gelu", "relu"])
    shifts = pd.DataFrame(rng.normal(0, 0.03, (len(DATASETS), 3)), DATASETS, table.columns)
    return table + shifts.loc[rows.get_level_values(0)].to_numpy()


def test_effects_are_those_of_a_linear_model_of_the_datasets_means(rng):
    scores = random_scores(rng)
    found = new_datasets.effects(scores).set_index(["condition", "activation"])
    assert [*dict.fromkeys(found.index.get_level_values(0))] == [ALL, "depth=16", "depth=4"]
    for condition in (ALL, "depth=4"):
        rows = scores if condition == ALL else scores.xs(condition, level=1, drop_level=False)
        p = {}
        for name in ("elu", "gelu"):
            values = [(rows.loc[one, name] - rows.loc[one, "relu"]).mean() for one in DATASETS]
            model = OLS(values, np.ones(len(values))).fit()
            told = model.get_prediction([[1.0]]).summary_frame().iloc[0]
            row = found.loc[condition, name]
            assert row[["difference", "difference_low", "difference_high"]].tolist() == pytest.approx(
                told[["mean", "mean_ci_lower", "mean_ci_upper"]].tolist()
            )
            assert row[["new_low", "new_high"]].tolist() == pytest.approx(
                told[["obs_ci_lower", "obs_ci_upper"]].tolist()
            )
            assert row["better"] == sum(value > 0 for value in values)
            assert row["sd"] == pytest.approx(np.std(values, ddof=1))
            assert row["p"] == pytest.approx(model.pvalues[0])
            p[name] = row["p"]
        least, most = sorted(p, key=p.__getitem__)
        assert found.loc[condition, least]["p_holm"] == pytest.approx(min(1, 2 * p[least]))
        assert found.loc[condition, most]["p_holm"] == pytest.approx(max(min(1, 2 * p[least]), p[most]))


def test_noise_is_what_seeds_leave_in_a_datasets_value(rng):
    scores = random_scores(rng, seeds=200)
    row = new_datasets.effects(scores).iloc[0]
    assert row["noise"] == pytest.approx(np.sqrt(2 * 0.01**2 / 400), rel=0.05)
    assert row["sd"] > 10 * row["noise"]


def test_covered_counts_values_that_the_others_foresee():
    values = np.array([0.0, 1.0, 2.0, 3.0, 4.0, 100.0])
    inside = 0
    for place, value in enumerate(values):
        others = np.delete(values, place)
        half = stats.t.ppf(0.975, 4) * others.std(ddof=1) * np.sqrt(1 + 1 / 5)
        inside += abs(value - others.mean()) <= half
    assert new_datasets.covered(values) == inside == 5


@pytest.mark.slow
def test_a_prediction_covers_a_new_dataset_as_often_as_it_says(rng):
    """The last of each study's datasets against the interval of the others, 2,000 times: 95%, within 3 SE."""
    values = rng.normal(0.01, 0.02, (2000, 15))
    inside = [new_datasets.over_datasets(row[:-1])[1] for row in values]
    share = np.mean([one.low <= row[-1] <= one.high for one, row in zip(inside, values, strict=True)])
    assert share == pytest.approx(0.95, abs=0.015)


def runs_of(shifts: pd.DataFrame, lost: str = "") -> pd.DataFrame:
    table = weighted(
        lambda activation, dataset, depth, rate: 0.7 + float(shifts.loc[dataset, activation]) - 0.1 * (rate != 0.1),
        tuple(shifts.columns),
        datasets=tuple(shifts.index),
        depths=(4, 16),
        evaluation=3,
        tuning=3,
    )["runs"].assign(train_samples=2000)
    return table[~((table["dataset"] == lost) & (table["activation"] == "elu") & (table["depth"] == 4))]


@pytest.fixture(scope="module")
def shifts() -> pd.DataFrame:
    return pd.DataFrame(np.random.default_rng(1).normal(0, 0.05, (13, 3)), DATASETS[:13], ["relu", "elu", "gelu"])


def test_a_dataset_that_lacks_a_run_takes_no_part(shifts: pd.DataFrame):
    whole, part = (new_datasets.complete_scores(runs_of(shifts, lost)) for lost in ("", "set_03"))
    assert [*new_datasets.means(whole).index] == DATASETS[:13]
    assert [*new_datasets.means(part).index] == [name for name in DATASETS[:13] if name != "set_03"]
    assert new_datasets.speaks_of_new(part)
    assert not new_datasets.speaks_of_new(part[part.index.get_level_values(0) != "set_04"])


def test_what_a_policy_learns_is_of_the_other_datasets(shifts: pd.DataFrame):
    """The best fixed activation of each dataset, chosen here by hand without it."""
    runs = runs_of(shifts)
    regret = policy_regret(runs, pd.DataFrame({"quantity": []}))
    found = new_datasets.policies(regret).set_index(["policy", "budget"])
    tuned = runs[(runs["role"] == "tuning") & runs["selected"]]
    tuned = tuned.groupby(["dataset", "depth", "activation"])["validation_accuracy"].mean().unstack()
    test = new_datasets.complete_scores(runs).groupby(level=[0, 1]).mean()
    lost = {}
    for dataset in DATASETS[:13]:
        pick = tuned.drop(index=dataset, level=0).mean().idxmax()
        cells = [(tuned.loc[dataset, depth].idxmax(), (dataset, f"depth={depth}")) for depth in (4, 16)]
        lost[dataset] = np.mean([test.loc[cell, best] - test.loc[cell, pick] for best, cell in cells])
    row, values = found.loc["best fixed", "any"], pd.Series(lost)
    low, high = stats.t.interval(0.95, 12, values.mean(), stats.sem(values))
    assert row[["regret", "regret_low", "regret_high"]].tolist() == pytest.approx([values.mean(), low, high])
    assert row["worst"] == pytest.approx(values.max())
    assert row["worst_on"] == values.idxmax()
    relu = found.loc["always relu", "any"]
    assert relu["saved"] == pytest.approx(0)
    assert row["saved"] == pytest.approx(relu["regret"] - row["regret"])


def test_a_difference_that_goes_with_the_size_is_seen(rng):
    scores = random_scores(rng)
    traits = pd.DataFrame({"dataset": DATASETS, "samples": range(1000, 15000, 1000), "features": 5, "classes": 2})
    traits["features"] = rng.permutation(14)
    traits["classes"] = rng.integers(2, 9, 14)
    scores["elu"] += 0.05 * np.repeat(range(14), 6)
    found = new_datasets.heterogeneity(scores, traits).set_index(["activation", "trait"])
    difference = new_datasets.means(scores)["elu"] - new_datasets.means(scores)["relu"]
    ranks = np.corrcoef(difference.rank(), traits["features"].rank())[0, 1]
    assert found.loc[("elu", "features"), "rho"] == pytest.approx(ranks)
    assert found.loc[("elu", "samples"), "rho"] > 0.9
    assert found.loc[("elu", "samples"), "p_holm"] == pytest.approx(6 * found.loc[("elu", "samples"), "p"])
