"""False alarms and power of the study's own rules, on seeds whose truth is known."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from activation_study.analysis import controls
from activation_study.analysis.controls import Twins


def _runs(seeds, shift=0.0, rng=None):
    rng = rng or np.random.default_rng(0)
    rows = []
    for name, stream, add in (("relu", "main", 0.0), ("leaky_0", "control", shift), ("elu", "control", 0.3)):
        stream_part = "" if stream == "main" else f",seed_stream={stream}"
        for replicate in range(seeds):
            rows.append(
                {
                    "run": f"digits/{name}/depth=5{stream_part},steps=300",
                    "activation": name,
                    "seed_stream": stream,
                    "role": "evaluation",
                    "status": "finished",
                    "replicate": replicate,
                    "selected": True,
                    "test_accuracy": 0.9 + add + 0.02 * rng.standard_normal(),
                    "time_to_target": np.exp(3 + 0.2 * rng.standard_normal()),
                    "horizon": 300,
                }
            )
    return pd.DataFrame(rows)


def _portraits():
    x = np.linspace(-3, 3, 7)
    relu, slope = np.maximum(x, 0), (x > 0).astype(float)
    curves = {"relu": (relu, slope), "leaky_0": (relu + 1e-12, slope), "elu": (np.where(x > 0, x, np.expm1(x)), slope)}
    return pd.concat(
        pd.DataFrame({"activation": name, "x": x, "value": value, "derivative": derivative})
        for name, (value, derivative) in curves.items()
    )


def test_only_one_function_under_two_names_and_streams_is_a_pair():
    twins = controls.control_twins(_runs(4), _portraits())
    assert {(pair.first, pair.second) for pair in twins} == {("leaky_0", "relu")}
    assert [pair.metric for pair in twins] == list(controls.METRICS)
    runs = _runs(4).set_index(["activation", "replicate"])
    expected = runs.loc["leaky_0", "test_accuracy"] - runs.loc["relu", "test_accuracy"]
    assert twins[0].differences == pytest.approx(expected.to_numpy())
    times = np.log(runs.loc["leaky_0", "time_to_target"]) - np.log(runs.loc["relu", "time_to_target"])
    assert twins[1].differences == pytest.approx(times.to_numpy())
    assert controls.control_twins(_runs(4).assign(seed_stream="main"), _portraits()) == [], (
        "paired seeds are no control"
    )


def test_alarms_are_those_of_scipys_t_test_on_disjoint_groups():
    values = np.random.default_rng(1).standard_normal(205) + 0.7
    (row,) = controls.false_alarms([Twins("a", "b", "test_accuracy", values)]).to_dict("records")
    p = stats.ttest_1samp(values[:200].reshape(20, 10), 0, axis=1).pvalue
    assert (row["comparisons"], row["alarms"]) == (20, int((p < 0.05).sum()))
    assert row["alarms"] > 4
    low, high = stats.t.interval(0.95, 204, values.mean(), values.std(ddof=1) / np.sqrt(205))
    assert (row["difference_low"], row["difference_high"]) == pytest.approx((low, high))


def test_the_rate_is_nominal_where_nothing_differs():
    rng = np.random.default_rng(2)
    twins = [Twins("a", "b", "test_accuracy", rng.standard_normal(200)) for _ in range(40)]
    table = controls.false_alarms(twins)
    assert 0.03 < table["alarms"].sum() / table["comparisons"].sum() < 0.07


def test_identical_results_are_no_alarm():
    (row,) = controls.false_alarms([Twins("a", "b", "test_accuracy", np.zeros(20))]).to_dict("records")
    assert (row["comparisons"], row["alarms"]) == (2, 0)


@pytest.mark.slow
def test_power_follows_the_size_of_the_planted_effect():
    rng = np.random.default_rng(3)
    twins = [Twins("a", "b", "test_accuracy", 5 + rng.standard_normal(200))]
    strong, weak, none = (controls.planted_power(twins, smallest, 20) for smallest in (2.0, 0.3, 1e-9))
    assert strong > 0.99
    assert 0.05 < weak < 0.7
    assert none < 0.02
    assert np.isnan(controls.planted_power([Twins("a", "b", "test_accuracy", np.ones(20))], 1.0, 20))
    # Noncentral t, one-sided at .05/20, three cells of ten: the rule's first condition alone.
    effect = 1.5 * 0.6
    t = effect * np.sqrt(30) / twins[0].differences.std(ddof=1)
    expected = stats.nct.sf(stats.t.isf(0.05 / 20, 27), 27, t)
    assert controls.planted_power(twins, 0.6, 20) == pytest.approx(expected, abs=0.08)
