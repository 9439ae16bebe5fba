"""The tables of small invented experiments, worked out again by hand."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from activation_study.analysis import experiments as summaries

FACTORS = {
    "depth": 3, "width": 8, "steps": 100, "optimiser": "momentum", "initialisation": "gain", "normalisation": "none",
    "input_transform": "standardised", "input_shift": 0.0, "initial_bias": 0.0, "centred": False,
    "network": "mlp", "seed_stream": "main", "train_size": np.nan, "select": "accuracy",
}  # fmt: skip
CONSTANTS = {"gain": 2**0.5, "chi": 1.0, "sigma_w2": 2.0, "sigma_b2": 0.0, "stochastic": False}


def networks(activation: str, accuracy: list[float], dataset: str = "digits", **changes) -> list[dict]:
    """One run's evaluation networks; changed factors enter its id."""
    factors = FACTORS | {key: value for key, value in changes.items() if key in FACTORS}
    moved = "".join(
        f",{key}={str(value).lower()}"
        for key, value in sorted(factors.items())
        if value != FACTORS[key] and value == value
    )
    outcome = {"status": "finished", "reached": True, "time_to_target": 40.0, "horizon": 100, "train_samples": 1000}
    outcome |= {key: value for key, value in changes.items() if key not in FACTORS}
    return [
        {"run": f"{dataset}/{activation}/depth={factors['depth']}{moved}", "role": "evaluation", "replicate": seed,
         "learning_rate": 0.1, "selected": True, "activation": activation, "dataset": dataset, "test_accuracy": value,
         "train_accuracy": 1.0, **factors, **outcome}
        for seed, value in enumerate(accuracy)
    ]  # fmt: skip


def probes(run: str, values: dict[tuple[int, int, int], dict]) -> pd.DataFrame:
    """Rows of `layers` from (replicate, step, layer) → columns."""
    rows = [
        {"run": run, "role": "evaluation", "replicate": seed, "step": step, "layer": layer, "samples": 9} | columns
        for (seed, step, layer), columns in values.items()
    ]
    return pd.DataFrame(rows)


def test_scores_are_means_with_t_intervals_and_count_what_failed():
    rows = networks("relu", [0.9, 0.8, 0.1])
    rows[2] |= {"status": "diverged", "reached": False, "time_to_target": np.nan}
    table = summaries.scores(pd.DataFrame([*rows, *networks("elu", [0.5], status="no_data")]))
    row = table.iloc[0]
    assert len(table) == 1
    assert (row["n"], row["diverged"], row["reached"]) == (3, 1, 2)
    low, high = stats.t.interval(0.95, 2, 0.6, stats.sem([0.9, 0.8, 0.1]))
    assert low < 0 < 1 < high  # no accuracy is
    assert row[["test_accuracy", "test_accuracy_low", "test_accuracy_high"]].tolist() == pytest.approx([0.6, 0, 1])
    assert row["accuracy_gap"] == pytest.approx(0.4)
    assert row["log_time"] == pytest.approx((2 * np.log(40) + np.log(100)) / 3)


def test_the_starting_decay_is_the_median_ratio_and_counts_zeros():
    runs = pd.DataFrame([*networks("relu", [0.9] * 3), *networks("relu", [0.9] * 3, input_shift=1.0)])
    run = runs["run"].iloc[0]
    logs = {0: (-3.0, -2.0, -1.0), 1: (-2.5, -2.0, -2.0), 2: (np.nan, -1.0, -1.0)}
    values = {
        (seed, step, layer): {
            "gradient_norm_log10": log[layer - 1] + step,
            "gradient_zero": bool(np.isnan(log[layer - 1])),
        }
        for seed, log in logs.items()
        for step in (0, 10)
        for layer in (1, 2, 3)
    }
    layers = pd.concat([probes(run, values), probes(runs["run"].iloc[-1], values)])  # a shifted input is not predicted
    x = np.linspace(-5, 5, 201)
    portraits = pd.DataFrame({"activation": "relu", "x": x, "value": np.maximum(x, 0)})
    activations = pd.DataFrame([{"activation": "relu"} | CONSTANTS])
    datasets = pd.DataFrame({"dataset": ["digits"], "features": [64]})
    table = summaries.starting_decay(layers, runs, activations, portraits, datasets).set_index("layer")
    assert table.index.tolist() == [1, 2, 3]
    assert table["measured"].tolist() == pytest.approx([np.median([-2.0, -0.5]), 0.0, 0.0])
    assert table["zeros"].tolist() == [1, 0, 0]
    assert table["n"].tolist() == [3, 3, 3]
    np.testing.assert_allclose(table["predicted"], 0, atol=1e-9)  # χ = 1 for ReLU at its gain
    law = stats.norm(-5 / 8, np.sqrt(2 * 5 / 8))  # of ln ‖δ¹‖²/‖δ³‖²
    assert table.loc[1, ["single_q25", "single_q75"]].tolist() == pytest.approx(law.ppf([0.25, 0.75]) / np.log(100))
    assert table.loc[3, ["single_q25", "single_q75"]].tolist() == [0, 0]
    gone = summaries.starting_decay(layers, runs, activations.iloc[:0], portraits, datasets)
    assert gone["predicted"].isna().all()


def test_theory_is_only_said_of_the_networks_that_it_is_about():
    runs = pd.DataFrame([*networks("relu", [0.9]), *networks("relu", [0.9], network="another")])
    values = {(0, 0, layer): {"gradient_norm_log10": -1.0, "gradient_zero": False} for layer in (1, 2, 3)}
    layers = pd.concat([probes(run, values) for run in runs["run"]])
    x = np.linspace(-5, 5, 201)
    portraits = pd.DataFrame({"activation": "relu", "x": x, "value": np.maximum(x, 0)})
    activations = pd.DataFrame([{"activation": "relu"} | CONSTANTS])
    datasets = pd.DataFrame({"dataset": ["digits"], "features": [64]})
    table = summaries.starting_decay(layers, runs, activations, portraits, datasets).set_index("network")
    assert table.loc["mlp", "predicted"].notna().all()
    assert table.loc["another", "predicted"].isna().all()
    assert table.loc["another", "measured"].tolist() == [0, 0, 0]


def test_the_dead_are_those_born_so_and_died_less_revived():
    runs = pd.DataFrame(networks("relu", [0.9, 0.9]))
    share = [(0.2, 0.2, 0.0, 0.0), (0.5, 0.2, 0.4, 0.1), (0.3, 0.2, 0.0, 0.2)]
    values = {
        (seed, step, layer): dict(zip(("dead", "born_dead", "died", "revived"), row, strict=True))
        | {"unusable_001": row[0], "unusable_01": row[0]}
        for seed in (0, 1)
        for step, row in zip((0, 1, 10), share, strict=True)
        for layer in (1, 2, 3, 4)  # the fourth is the output
    }
    values |= {(seed, 10, 4): {"dead": 1.0} for seed in (0, 1)}
    table = summaries.unit_balance(probes(runs["run"].iloc[0], values), runs)
    assert table["dead"].tolist() == pytest.approx([0.2, 0.5, 0.3])
    ledger = table["born_dead"] + table["died"].cumsum() - table["revived"].cumsum()
    np.testing.assert_allclose(table["dead"], ledger)
    assert table["n"].tolist() == [2, 2, 2]


def test_only_families_of_negative_biases_are_doses():
    rows = [*networks("relu", [0.9]), *networks("relu", [0.9], initial_bias=-0.5)]
    rows += [*networks("tanh", [0.9], initial_bias=-2.0), *networks("tanh", [0.9], initial_bias=2.0)]
    rows += networks("elu", [0.9])
    runs = pd.DataFrame(rows)
    dead = {"dead": 0.5, "born_dead": 0.25}
    layers = pd.concat([probes(run, {(0, 0, 1): dead | {"dead": 0.25}, (0, 9, 1): dead}) for run in runs["run"]])
    table = summaries.bias_doses(layers, runs)
    assert table["activation"].tolist() == ["relu", "relu"]
    assert sorted(table["initial_bias"]) == [-0.5, 0.0]
    assert table["family"].nunique() == 1
    assert table[["born_dead", "dead"]].to_numpy().tolist() == [[0.25, 0.5]] * 2


def test_centring_pairs_are_paired_by_seed():
    raw = networks("relu", [0.9] * 3)
    for row, time in zip(raw, (40.0, 60.0, np.nan), strict=True):
        row |= {"time_to_target": time, "reached": time == time}
    centred = networks("relu", [0.9] * 3, centred=True)
    for row, time in zip(centred, (20.0, 60.0, 50.0), strict=True):
        row["time_to_target"] = time
    runs = pd.DataFrame([*raw, *centred])
    layers = pd.concat(
        [
            probes(run, {(0, 0, 1): {"mean": mean, "sd": 0.5, "centredness": units}})
            for run, mean, units in ((raw[0]["run"], 0.4, 0.7), (centred[0]["run"], -0.1, 0.6))
        ]
    )
    row = summaries.centring_pairs(layers, runs).iloc[0]
    ratios = np.log([20, 60, 50]) - np.log([40, 60, 100])
    low, high = stats.t.interval(0.95, 2, ratios.mean(), stats.sem(ratios))
    assert row[["log_ratio", "log_ratio_low", "log_ratio_high"]].tolist() == pytest.approx([ratios.mean(), low, high])
    assert (row["of_layers_raw"], row["of_layers_centred"]) == pytest.approx((0.8, 0.2))
    assert (row["of_units_raw"], row["of_units_centred"]) == pytest.approx((0.7, 0.6))
    assert (row["reached_raw"], row["reached_centred"], row["n"]) == (2, 3, 3)
    assert summaries.centring_pairs(layers, pd.DataFrame(raw)).empty


def test_the_front_is_over_datasets_and_conditions_alike():
    own = [*networks("relu", [0.9, 0.9]), *networks("relu", [0.5, 0.5], network="another")]
    cost = pd.DataFrame([{"activation": "relu", "quantity": "step", "width": 8, "ratio_to_relu": 0.94} | {
        "ratio_low": 0.9, "ratio_high": 1.1}])  # fmt: skip
    (row,) = summaries.cost_against_quality(cost, pd.DataFrame(own)).to_dict("records")
    assert row["accuracy"] == pytest.approx(0.7)
    assert row["n"] == 4
    assert [row[name] for name in ("ratio", "ratio_low", "ratio_high")] == [1, 1, 1]  # ReLU's own, by definition


def test_the_front_holds_what_no_other_beats():
    rows = []
    for name, accuracy in {"slow_best": 0.9, "fast_good": 0.8, "slow_bad": 0.7, "fast_same": 0.8, "gap": 0.99}.items():
        for dataset in ("digits", "mnist1d"):
            if (name, dataset) != ("gap", "mnist1d"):
                rows += networks(name, [accuracy, accuracy], dataset)
    step = {"quantity": "step", "width": 8}
    ratios = {"slow_best": 2.0, "fast_good": 1.0, "slow_bad": 2.0, "fast_same": 1.0, "gap": 0.5}
    ends = {name: {"ratio_low": ratio - 0.1, "ratio_high": ratio + 0.1} for name, ratio in ratios.items()}
    cost = pd.DataFrame(
        [{"activation": name, "ratio_to_relu": ratio} | step | ends[name] for name, ratio in ratios.items()]
    )
    alike = cost.assign(ratio_low=0.9)  # no time is shown to be longer than another
    cost = pd.concat([cost, cost.assign(width=512, ratio_to_relu=9.0)])
    table = summaries.cost_against_quality(cost, pd.DataFrame(rows)).set_index("activation")
    assert table["front"].to_dict() == {"slow_best": True, "fast_good": True, "slow_bad": False, "fast_same": True}
    assert table["ratio"].to_dict() == {name: ratios[name] for name in table.index}
    assert table.loc["slow_best", "accuracy"] == pytest.approx(0.9)
    assert (table["n"] == 4).all()
    assert summaries.cost_against_quality(alike, pd.DataFrame(rows)).query("front")["activation"].tolist() == [
        "slow_best"
    ]
    wide = summaries.cost_against_quality(cost, pd.DataFrame(rows), width=400)
    assert (set(wide["width"]), set(wide["ratio"])) == ({512}, {9.0})


def test_noise_is_held_against_the_median_of_all():
    runs = pd.DataFrame([*networks("a", [0.9] * 2), *networks("b", [0.9] * 2), *networks("c", [0.9] * 2)])
    values = {"a": (0.9, 0.7), "b": (0.8, 0.8), "c": (0.2, 0.4)}
    rows = [
        {"run": f"digits/{name}/depth=3", "role": "evaluation", "replicate": seed, "measurement": measurement,
         "dose": 0.5, "value": value}
        for name, pair in values.items()
        for seed, value in enumerate(pair)
        for measurement in ("noise_accuracy", "noise_gain")
    ]  # fmt: skip
    table = summaries.noise_robustness(pd.DataFrame(rows), runs).set_index("activation")
    assert table["accuracy"].to_dict() == pytest.approx({"a": 0.8, "b": 0.8, "c": 0.3})
    assert table["above_median"].to_dict() == pytest.approx({"a": 0, "b": 0, "c": -0.5})
    assert table.loc["b", ["accuracy_low", "accuracy_high"]].tolist() == pytest.approx([0.8, 0.8])
    assert table.loc["a", ["accuracy_low", "accuracy_high"]].tolist() == [0, 1]
    assert (table["n"] == 2).all()


def test_sizes_belong_together_when_nothing_else_differs():
    rows = networks("relu", [0.9], train_size=300, train_samples=300)
    rows += networks("relu", [0.95])
    rows += networks("elu", [0.8], train_size=300, train_samples=300)  # no twin
    rows += networks("relu", [0.99], train_size=300, train_samples=300, optimiser="adam")
    table = summaries.data_sizes(pd.DataFrame(rows))
    assert table["test_accuracy"].tolist() == [0.9, 0.95]
    assert table["family"].nunique() == 1


def test_bands_are_medians_that_mind_no_outlier():
    runs = pd.DataFrame(networks("relu", [0.9] * 3))
    names = ("q05", "q50", "q95", "mean", "sd")
    values = {
        (seed, 0, 1): {f"preactivation_{name}": value for name in names} | {"mean": 7.0, "sd": 7.0}
        for seed, value in enumerate((1.0, 2.0, 1e30))
    }
    table = summaries.preactivation_bands(probes(runs["run"].iloc[0], values), runs)
    assert table[list(names)].iloc[0].tolist() == [2.0] * 5
