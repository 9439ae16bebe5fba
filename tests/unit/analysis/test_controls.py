"""False alarms of the study's own rules, on seeds whose truth is known."""

import numpy as np
import pandas as pd
import pytest

from activation_study.analysis import controls
from activation_study.analysis.choices import Choices
from activation_study.analysis.controls import Twins
from activation_study.analysis.tuned import contrast, tuned_interval, tuned_test
from activation_study.core.tuning import Replicates
from weighted import weighted


def control_runs(blocks, shift=0.0):
    """Both names of the rectifier, in streams of their own, and another function in the second's streams."""
    parts = []
    for name, first, add in (("relu", 1, 0.0), ("leaky_0", blocks + 1, shift), ("elu", blocks + 1, 0.1)):
        for stream in range(first, first + blocks):
            found = weighted(
                lambda activation, dataset, depth, rate, add=add: 0.7 + add,
                (name,),
                datasets=("digits",),
                stream=f"control_{stream}",
                seed=10 * stream + (name == "elu"),
            )
            parts.append(found["runs"])
    return pd.concat(parts, ignore_index=True)


def portraits():
    x = np.linspace(-3, 3, 7)
    relu, slope = np.maximum(x, 0), (x > 0).astype(float)
    curves = {"relu": (relu, slope), "leaky_0": (relu + 1e-12, slope), "elu": (np.where(x > 0, x, np.expm1(x)), slope)}
    return pd.concat(
        pd.DataFrame({"activation": name, "x": x, "value": value, "derivative": derivative})
        for name, (value, derivative) in curves.items()
    )


def test_blocks_are_pairs_of_runs_of_one_function_in_other_streams():
    runs = control_runs(11)
    twins = controls.control_twins(runs, portraits())
    assert [(pair.first, pair.second, pair.metric) for pair in twins] == [
        ("leaky_0", "relu", metric) for metric in controls.METRICS
    ]
    assert {len(pair.blocks) for pair in twins} == {11}
    choices = Choices(runs)
    for block, (a, b) in zip(twins[0].blocks, [(11 + n, n) for n in range(1, 12)], strict=True):
        arms = []
        for name, stream in (("leaky_0", a), ("relu", b)):
            run = f"digits/{name}/depth=5,seed_stream=control_{stream}"
            rows = runs.query("run == @run and role == 'evaluation'")
            table = rows.pivot(index="replicate", columns="learning_rate", values="test_accuracy")
            arms.append(choices[run].weights.replicates(table.reindex(columns=choices[run].rates).to_numpy()))
        assert block.evaluation == pytest.approx(contrast(arms, (1, -1)).evaluation)


@pytest.mark.parametrize(("select", "judged"), [("accuracy", [True, False]), ("speed", [False, True])])
def test_a_metric_is_as_judged_where_the_rates_were_chosen_for_it(select, judged):
    runs = control_runs(2).assign(select=select)
    assert [pair.as_judged for pair in controls.control_twins(runs, portraits())] == judged


def test_streams_that_both_have_are_no_control():
    runs = control_runs(3)
    shared = runs.replace({"seed_stream": {"control_4": "control_1"}})
    shared["run"] = shared["run"].str.replace("control_4", "control_1")
    assert {len(pair.blocks) for pair in controls.control_twins(shared, portraits())} == {2}
    other = runs.assign(seed_stream=runs["seed_stream"].str.replace("control", "main"))
    assert controls.control_twins(other, portraits()) == []


def drawn(rng, blocks, offset=0.0, spread=0.0):
    found = []
    for _ in range(blocks):
        noise = rng.normal(offset, 1, 10)
        found.append(Replicates(noise, noise + rng.normal(0, spread, (6, 1))))
    return Twins("a", "b", "digits/depth=5", "test_accuracy", found)


def test_alarms_are_those_of_the_studys_own_test():
    pair = drawn(np.random.default_rng(1), 20, 0.7, 0.1)
    (row,) = controls.false_alarms([pair]).to_dict("records")
    p = [2 * min(tuned_test([block], 0, side).p for side in ("greater", "less")) for block in pair.blocks]
    assert (row["comparisons"], row["alarms"], row["seeds"]) == (20, sum(one < 0.05 for one in p), 200)
    assert row["alarms"] > 4
    whole = tuned_interval(pair.blocks)
    assert (row["difference"], row["difference_low"]) == (whole.estimate, whole.low)


def test_the_rate_is_nominal_where_nothing_differs():
    rng = np.random.default_rng(2)
    table = controls.false_alarms([drawn(rng, 20) for _ in range(40)])
    assert 0.03 < table["alarms"].sum() / table["comparisons"].sum() < 0.07


def test_identical_results_are_no_alarm():
    block = Replicates(np.zeros(10), np.zeros((6, 10)))
    (row,) = controls.false_alarms([Twins("a", "b", "c", "test_accuracy", [block] * 2)]).to_dict("records")
    assert (row["comparisons"], row["alarms"]) == (2, 0)
