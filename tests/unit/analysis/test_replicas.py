"""The tables of a small invented study, with every kind of gap, against pandas and scipy by hand."""

import io

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from activation_study.analysis import replicas

FACTORS = {"width": 64, "steps": 100, "optimiser": "momentum", "normalisation": "none", "seed_stream": "main"}
CLASSES = 10


def replica(activation, dataset, depth, role, replicate, rate, accuracy, **changes):
    """One row of the runs table; factors that `changes` moves from their default enter the run's id."""
    factors = {"activation": activation, "dataset": dataset, "depth": depth} | FACTORS
    factors |= {key: value for key, value in changes.items() if key in factors}
    moved = "".join(f",{key}={factors[key]}" for key in sorted(FACTORS) if factors[key] != FACTORS[key])
    row = {
        "run": f"{dataset}/{activation}/depth={depth}{moved}",
        **factors,
        "role": role,
        "replicate": replicate,
        "learning_rate": rate,
        "selected": rate == 0.1,
        "weight": float(rate == 0.1),
        "edge": False,
        "select": "accuracy",
        "status": "finished",
        "diverged_step": pd.NA,
        "train_loss": 0.1,
        "validation_loss": 0.2,
        "validation_accuracy": accuracy,
        "test_loss": 0.3,
        "test_accuracy": accuracy,
        "time_to_target": 50.0,
        "reached": True,
        "target": 0.8,
        "horizon": 100,
        "area_under_loss": -1.0,
        "parameters": 1000,
        "classes": CLASSES,
        "train_samples": 500,
    }
    return row | changes


def diverged(row, step):
    """The same replica, blown up at `step`."""
    return row | {
        "status": "diverged",
        "diverged_step": step,
        "validation_accuracy": 1 / CLASSES,
        "test_accuracy": 1 / CLASSES,
        "time_to_target": np.nan,
        "reached": False,
        "area_under_loss": np.log(np.log(CLASSES)),
    }


@pytest.fixture
def runs():
    rows = []
    for activation, base in {"relu": 0.90, "tanh": 0.85, "sigmoid": 0.80}.items():
        for dataset in ("digits", "mnist1d"):
            if (activation, dataset) == ("sigmoid", "mnist1d"):
                continue
            for seed in range(3):
                for rate in (0.01, 0.1, 1.0):
                    rows.append(replica(activation, dataset, 5, "tuning", seed, rate, base - rate / 10 + seed / 100))
            for seed in range(5):
                rows.append(replica(activation, dataset, 5, "evaluation", seed, 0.1, base + seed / 100))
    table = [diverged(row, 30) if row["activation"] == "tanh" and row["learning_rate"] == 1.0 else row for row in rows]
    table.append(replica("relu", "digits", 5, "evaluation", 0, 0.1, 0.95, normalisation="batch"))
    table.append(replica("relu", "digits", 20, "no_data", 0, np.nan, np.nan, status="no_data"))
    return stored(pd.DataFrame(table).astype({"diverged_step": "Int64", "reached": "boolean"}))


def stored(table):
    """The table as it comes back from Parquet: nullable integers as floats, nullable booleans as objects."""
    file = io.BytesIO()
    table.to_parquet(file)
    return pd.read_parquet(file)


def one(table, **where):
    """The single row of `table` where the columns equal the values."""
    for column, value in where.items():
        table = table[table[column] == value]
    assert len(table) == 1
    return table.iloc[0]


def test_ranking_gives_mean_interval_and_rank(runs):
    table = replicas.ranking(runs)
    row = one(table, activation="tanh", dataset="digits")
    scores = 0.85 + np.arange(5) / 100
    low, high = stats.t.interval(0.95, 4, scores.mean(), stats.sem(scores))
    assert (row["n"], row["diverged"], row["rank"]) == (5, 0, 2)
    assert row[["test_accuracy", "test_accuracy_low", "test_accuracy_high"]].tolist() == pytest.approx(
        [scores.mean(), low, high]
    )
    assert row["test_accuracy_iqm"] == pytest.approx(scores[1:4].mean())
    assert row["generalisation_gap"] == pytest.approx(0.2)
    assert row["learning_rate"] == 0.1
    assert row["chance"] == 0.1


def test_equal_scores_share_a_rank_however_they_are_summed(runs):
    """The same five in another order: their means are apart by a last bit."""
    mine = (runs["role"] == "evaluation") & (runs["dataset"] == "digits") & (runs["normalisation"] == "none")
    for name, scores in (("relu", [0.1, 0.2, 0.3, 0.4, 0.7]), ("tanh", [0.7, 0.4, 0.3, 0.2, 0.1])):
        runs.loc[mine & (runs["activation"] == name) & (runs["status"] != "no_data"), "test_accuracy"] = scores
    table = replicas.ranking(runs)
    table = table[(table["dataset"] == "digits") & (table["condition"] == "")].set_index("activation")
    assert table.loc["relu", "rank"] == table.loc["tanh", "rank"] == 2


def test_conditions_are_ranked_apart_and_named_by_what_varies(runs):
    table = replicas.ranking(runs)
    batch = one(table, condition="normalisation=batch")
    assert batch["rank"] == 1
    assert batch["n"] == 1
    assert np.isnan(batch["test_accuracy_low"])
    assert batch["normalisation"] == "batch"
    assert "width" not in table
    digits = table[(table["dataset"] == "digits") & (table["condition"] == "")]
    assert digits["activation"].tolist() == ["relu", "tanh", "sigmoid"]
    assert digits["rank"].tolist() == [1, 2, 3]


def test_missing_cells_are_gaps(runs):
    table = replicas.ranking(runs)
    assert table[(table["activation"] == "sigmoid") & (table["dataset"] == "mnist1d")].empty
    assert table[table["depth"] == 20].empty
    assert len(table) == 6


def test_censored_runs_are_not_dropped():
    """`flaky` reaches the target sooner when it does, once in five: the mean of its successes would win."""
    rows = []
    for seed in range(5):
        rows.append(replica("steady", "digits", 5, "evaluation", seed, 0.1, 0.9, time_to_target=50.0 + seed))
        lucky = {"time_to_target": 20.0} if seed == 0 else {"time_to_target": np.nan, "reached": False}
        rows.append(replica("flaky", "digits", 5, "evaluation", seed, 0.1, 0.7, **lucky))
    runs = pd.DataFrame(rows)
    naive = runs.groupby("activation")["time_to_target"].mean()
    assert naive["flaky"] < naive["steady"]
    table = replicas.ranking(runs).set_index("activation")
    assert table.loc["steady", "restricted_time"] == pytest.approx(52)
    assert table.loc["flaky", "restricted_time"] == pytest.approx((20 + 4 * 100) / 5)
    assert table.loc["flaky", "median_time"] == np.inf
    assert table.loc["flaky", ["reached", "reach_probability"]].tolist() == [1, 0.2]
    wilson = stats.binomtest(1, 5).proportion_ci(method="wilson")
    assert table.loc["flaky", "reach_probability_low"] == pytest.approx(wilson.low)
    assert table.loc["flaky", "reach_probability_high"] == pytest.approx(wilson.high)
    assert table.loc["steady", "reach_probability"] == 1


def test_learning_rate_sensitivity_counts_what_was_lost(runs):
    runs.loc[(runs["run"] == "digits/relu/depth=5") & (runs["learning_rate"] == 0.01), "status"] = "pruned"
    runs.loc[runs["status"] == "pruned", ["validation_accuracy", "area_under_loss"]] = np.nan
    table = replicas.learning_rate_sensitivity(runs)
    pruned = one(table, run="digits/relu/depth=5", learning_rate=0.01)
    assert (pruned["n"], pruned["pruned"]) == (0, 3)
    assert np.isnan(pruned["validation_accuracy"])
    blown = one(table, run="digits/tanh/depth=5", learning_rate=1.0)
    assert (blown["n"], blown["diverged"]) == (3, 3)
    assert blown["validation_accuracy"] == pytest.approx(0.1)
    assert not blown["selected"]
    kept = one(table, run="digits/tanh/depth=5", learning_rate=0.1)
    assert kept["selected"]
    assert kept["validation_accuracy"] == pytest.approx(0.85)
    assert kept["validation_accuracy_high"] - 0.85 == pytest.approx(0.01 / np.sqrt(3) * stats.t.ppf(0.975, 2))


def test_learning_curves_carry_diverged_replicas_to_the_end():
    healthy = replica("relu", "digits", 5, "evaluation", 0, 0.1, 0.9)
    runs = pd.DataFrame([healthy, diverged(healthy | {"replicate": 1}, 10)]).astype({"diverged_step": "Int64"})
    points = [(0, 0, 2.3, 0.1), (0, 10, 1.0, 0.5), (0, 100, 0.25, 0.9), (1, 0, 2.2, 0.12), (1, 10, 1e9, 0.2)]
    curves = pd.DataFrame(points, columns=["replicate", "step", "validation_loss", "validation_accuracy"])
    curves = curves.assign(run=healthy["run"], role="evaluation", learning_rate=0.1, train_loss=1.0)
    table = replicas.learning_curves(curves, runs).set_index("step")
    assert table["n"].tolist() == [2, 2, 2]
    assert table["diverged"].tolist() == [0, 1, 1]
    assert table["validation_accuracy"].tolist() == pytest.approx([0.11, 0.3, 0.5])
    expected = [np.sqrt(2.3 * 2.2), np.sqrt(np.log(10)), np.sqrt(0.25 * np.log(10))]
    assert table["validation_loss"].tolist() == pytest.approx(expected)
    assert (table["validation_loss_low"] < table["validation_loss"]).all()


def layer_rows(run, replicate, step, gradients, dead):
    count = len(gradients)
    return pd.DataFrame(
        {
            "run": run,
            "role": "evaluation",
            "replicate": replicate,
            "step": step,
            "layer": np.arange(1, count + 1),
            "gradient_norm_log10": gradients,
            "weight_gradient_norm_log10": np.zeros(count),
            "gradient_zero": pd.array(np.isnan(gradients), dtype="boolean"),
            "dead": dead,
            "saturated_low": 0.25,
            "samples": 500,
        }
    )


def test_gradient_flow_takes_medians_slopes_and_counts_zeros():
    rows = [replica("relu", "digits", 3, "evaluation", seed, 0.1, 0.9) for seed in range(3)]
    rows[2] = diverged(rows[2], 5)
    run = rows[0]["run"]
    gradients = [[-3.0, -2.0, -1.0], [-5.0, -3.0, -1.0], [np.nan, -4.0, -1.0]]
    layers = pd.concat([layer_rows(run, seed, 0, [*gradients[seed], np.nan], [0.0] * 4) for seed in range(3)])
    layers.loc[layers["layer"] == 4, "gradient_zero"] = pd.NA
    table = replicas.gradient_flow(stored(layers), pd.DataFrame(rows)).set_index("layer")
    assert np.isnan(table.loc[4, "gradient"])
    assert table["zeros"].tolist() == [1, 0, 0, 0]
    table = table.drop(index=4)
    assert table["gradient"].tolist() == [-4.0, -3.0, -1.0]
    assert table["n"].tolist() == [3, 3, 3]
    assert table["diverged"].tolist() == [1, 1, 1]
    slopes = [
        np.polyfit([1, 2, 3], gradients[0], 1)[0],
        np.polyfit([1, 2, 3], gradients[1], 1)[0],
        np.polyfit([2, 3], gradients[2][1:], 1)[0],
    ]
    assert table["gradient_slope"].tolist() == pytest.approx([np.mean(slopes)] * 3)
    low, _ = stats.t.interval(0.95, 2, np.mean(slopes), stats.sem(slopes))
    assert table.loc[1, "gradient_slope_low"] == pytest.approx(low)


def test_unit_health_pools_hidden_layers_only():
    rows = [replica("relu", "digits", 2, "evaluation", seed, 0.1, 0.9) for seed in range(2)]
    run = rows[0]["run"]
    layers = pd.concat(
        [
            layer_rows(run, 0, 0, [-1.0] * 3, [0.2, 0.4, np.nan]),
            layer_rows(run, 1, 0, [-1.0] * 3, [0.0, 0.2, np.nan]),
        ]
    )
    table = replicas.unit_health(layers, pd.DataFrame(rows)).set_index("layer")
    assert table.index.tolist() == [replicas.POOLED, 1, 2]
    assert table["dead"].tolist() == pytest.approx([0.2, 0.1, 0.3])
    low, _ = stats.t.interval(0.95, 1, 0.2, stats.sem([0.3, 0.1]))
    assert low < 0  # no share is
    assert table.loc[replicas.POOLED, "dead_low"] == 0
    assert "revived" not in table
    assert (table["samples"] == 500).all()


def test_cost_is_labelled_as_not_comparable():
    timings = pd.DataFrame(
        {"run": ["a", "a"], "phase": ["tune", "evaluate"], "seconds": [4.0, 1.0], "replica_steps": [2000, 0]}
    )
    table = replicas.cost_of_runs(timings).set_index("phase")
    assert table.loc["tune", "seconds_per_replica_step"] == pytest.approx(0.002)
    assert np.isnan(table.loc["evaluate", "seconds_per_replica_step"])
    assert table["note"].str.contains("not comparable").all()


def test_experiment_selects_its_runs(runs):
    experiments = pd.DataFrame({"experiment": ["core", "core", "other"], "run": ["a", "b", "a"]})
    table = pd.DataFrame({"run": ["a", "a", "b", "c"]})
    assert replicas.of_experiment(table, experiments, "core")["run"].tolist() == ["a", "a", "b"]


def test_nothing_trained_gives_empty_tables(runs):
    nothing = runs[runs["status"] == "no_data"]
    layers = layer_rows("digits/relu/depth=20", 0, 0, [-1.0], [0.0]).iloc[:0]
    curves = pd.DataFrame(
        {
            name: pd.Series(dtype=kind)
            for name, kind in {
                "run": "str",
                "role": "str",
                "replicate": "int64",
                "learning_rate": "float64",
                "step": "int64",
                "train_loss": "float64",
                "validation_loss": "float64",
                "validation_accuracy": "float64",
            }.items()
        }
    )
    tables = [
        replicas.ranking(nothing),
        replicas.learning_curves(curves, nothing),
        replicas.learning_rate_sensitivity(nothing),
        replicas.gradient_flow(layers, nothing),
        replicas.unit_health(layers, nothing),
    ]
    for table in tables:
        assert table.empty
        assert {"run", "dataset", "activation", "depth", "condition"} <= set(table)


@pytest.fixture
def several():
    """Three evaluation seeds at two rates, the larger selected; some of their networks diverged."""
    weights, rows = {0.1: 0.75, 0.01: 0.25}, []
    for seed in range(3):
        for rate, weight in weights.items():
            score = 0.9 - seed / 10 - rate
            row = replica(
                "relu", "digits", 5, "evaluation", seed, rate, score, weight=weight, time_to_target=100 * rate
            )
            row |= {"train_loss": rate, "train_accuracy": 0.9, "validation_loss": seed + rate, "test_loss": 0.5 - rate}
            rows.append(diverged(row, 30) if (seed, rate) in ((1, 0.01), (2, 0.1)) else row)
    rows[0]["area_under_loss"] = np.nan
    rows.append(replica("relu", "digits", 5, "tuning", 0, 0.1, 0.5))
    return stored(pd.DataFrame(rows).astype({"diverged_step": "Int64"}))


def test_a_replicate_is_the_weighted_mean_over_its_rates(several):
    """Against a loop; a network without a value leaves its weight to the others."""
    found = replicas.evaluated(several).set_index("replicate")
    assert found.index.tolist() == [0, 1, 2]
    for seed, row in found.iterrows():
        networks = several[(several["role"] == "evaluation") & (several["replicate"] == seed)]
        for column in (*replicas.OUTCOMES, "log_time"):
            total = weight = 0.0
            for network in networks.to_dict("records"):
                value = network.get(column)
                if column == "log_time":
                    time = network["time_to_target"] if network["reached"] else np.inf
                    value = np.log(max(1, min(time, network["horizon"])))
                if value == value:
                    total, weight = total + network["weight"] * value, weight + network["weight"]
            assert row[column] == pytest.approx(total / weight), column
        assert (row["learning_rate"], row["networks"]) == (0.1, 2)
    assert found["status"].tolist() == ["finished", "finished", "diverged"]
    assert found["networks_diverged"].tolist() == [0, 1, 1]
    assert found.loc[0, "area_under_loss"] == -1


def test_a_replicate_of_one_rate_is_its_network(runs):
    rows = runs[runs["role"] == "evaluation"]
    for table in (runs, runs.drop(columns="weight"), runs.sample(frac=1, random_state=1)):
        found = replicas.evaluated(table).sort_index()
        pd.testing.assert_frame_equal(
            found[rows.columns.intersection(found.columns)], rows[rows.columns.intersection(found.columns)]
        )
        assert (found["networks"] == 1).all()


def test_curves_are_those_of_the_selected_rate(several):
    points = [(seed, rate, step) for seed in range(3) for rate in (0.1, 0.01) for step in (0, 10)]
    curves = pd.DataFrame(points, columns=["replicate", "learning_rate", "step"])
    curves = curves.assign(run=several["run"].iloc[0], role="evaluation", train_loss=1.0, validation_loss=1.0)
    table = replicas.learning_curves(curves.assign(validation_accuracy=curves["learning_rate"]), several)
    assert table["n"].tolist() == [3, 3]
    assert table["validation_accuracy"].tolist() == pytest.approx([0.1, 0.1])
