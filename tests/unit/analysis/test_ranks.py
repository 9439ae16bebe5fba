"""Ranks and profiles by hand, the tests against scipy."""

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import scikit_posthocs
from scipy import stats
from statsmodels.stats.multitest import multipletests

from activation_study.analysis import ranks


@pytest.fixture
def scores():
    rng = np.random.default_rng(3)
    base = rng.normal(0, 1, (12, 1))
    table = pd.DataFrame(base + rng.normal(0, 0.3, (12, 3)) + [1.0, 0.0, -0.1], columns=["elu", "relu", "tanh"])
    table.loc[12] = [1.0, np.nan, 0.0]
    return table


def test_mean_ranks_use_complete_blocks(scores):
    expected = stats.rankdata(-scores.dropna().to_numpy(), axis=1).mean(axis=0)
    assert ranks.mean_ranks(scores).tolist() == pytest.approx(expected.tolist())


@pytest.mark.slow
def test_pairwise_wilcoxon_is_scipys_with_holm(scores):
    table = ranks.pairwise_wilcoxon(scores)
    complete = scores.dropna()
    raw = [
        stats.wilcoxon(complete[a], complete[b]).pvalue for a, b in (("elu", "relu"), ("elu", "tanh"), ("relu", "tanh"))
    ]
    adjusted = multipletests(raw, method="holm")[1]
    assert [table.loc["elu", "relu"], table.loc["tanh", "elu"], table.loc["tanh", "relu"]] == pytest.approx(
        adjusted.tolist()
    )
    assert np.diag(table).tolist() == [1, 1, 1]


def test_identical_scores_are_not_told_apart(scores):
    twin = scores.dropna().assign(twin=scores["relu"])
    assert ranks.pairwise_wilcoxon(twin).loc["twin", "relu"] == 1


@pytest.fixture
def _without_a_screen():
    before = mpl.get_backend()
    mpl.use("Agg")
    yield
    mpl.use(before)  # the report's own


@pytest.mark.usefixtures("_without_a_screen")
def test_critical_difference_diagram_takes_them(scores):
    drawn = scikit_posthocs.critical_difference_diagram(ranks.mean_ranks(scores), ranks.pairwise_wilcoxon(scores))
    assert len(drawn["markers"]) == 3


def runs_with(times):
    rows = [
        {
            "dataset": dataset,
            "depth": 5,
            "activation": activation,
            "replicate": seed,
            "time_to_target": time,
            "reached": np.isfinite(time),
        }
        for (dataset, activation), seeds in times.items()
        for seed, time in enumerate(seeds)
    ]
    return pd.DataFrame(rows)


def test_median_times_let_failures_take_part():
    runs = runs_with(
        {
            ("digits", "relu"): [10, 30, np.nan],
            ("digits", "elu"): [20, np.nan, np.nan],
            ("mnist1d", "relu"): [5, 7, 6],
        }
    )
    times = ranks.task_times(runs)
    assert times.loc[("digits", 5)].to_dict() == {"relu": 30, "elu": np.inf}
    assert times.loc[("mnist1d", 5), "relu"] == 6
    assert np.isnan(times.loc[("mnist1d", 5), "elu"])


def test_profile_and_its_integral_by_hand():
    times = pd.DataFrame(
        {
            "a": [10, 40, np.inf, np.inf],
            "b": [20, 20, 50, np.inf],
            "c": [np.nan, 200, 100, np.inf],
        }
    )
    profile = ranks.performance_profile(times)
    assert profile.index.tolist() == [1, 2, 4]
    assert profile["a"].tolist() == [1 / 4, 2 / 4, 2 / 4]
    assert profile["b"].tolist() == [2 / 4, 3 / 4, 3 / 4]
    assert profile["c"].tolist() == pytest.approx([0, 1 / 3, 1 / 3])
    score = ranks.profile_score(profile)
    assert score["a"] == pytest.approx((1 / 4 * 1 + 2 / 4 * 2) / 3)
    assert score["b"] == pytest.approx((2 / 4 * 1 + 3 / 4 * 2) / 3)


def test_profile_integral_is_the_mean_clipped_ratio():
    """∫ρ over [1, 4] is the mean over tasks of 4 − min(max(ratio, 1), 4)."""
    rng = np.random.default_rng(5)
    times = pd.DataFrame(rng.uniform(10, 90, (9, 4)), columns=list("abcd"))
    times.iloc[0, 0] = np.inf
    ratios = times.to_numpy() / times.to_numpy().min(axis=1, keepdims=True)
    expected = (4 - np.minimum(ratios, 4)).mean(axis=0) / 3
    score = ranks.profile_score(ranks.performance_profile(times))
    assert score.tolist() == pytest.approx(expected.tolist())


def test_score_table_is_blocks_by_activation():
    runs = runs_with({("digits", "relu"): [10, 30], ("digits", "elu"): [20]})
    table = ranks.score_table(runs, "time_to_target")
    assert table.loc[("digits", 5, 0)].to_dict() == {"elu": 20, "relu": 10}
    assert np.isnan(table.loc[("digits", 5, 1), "elu"])
