"""The metrics of claims, by hand on one replica."""

import math

import numpy as np
import pandas as pd
import pytest

from activation_study.claims.metrics import METRICS
from activation_study.tables.of_study import Tables


@pytest.mark.slow
def test_metrics_survive_empty_tables():
    nothing = Tables({})
    for name, metric in METRICS.items():
        values = metric.values(nothing, nothing["runs"], {})
        assert {"run", "replicate", "value"} <= set(values), name
        assert values.empty
        assert metric.unit
        assert metric.meaning


@pytest.fixture
def one_replica():
    """A replica of a network of three layers, with probes at steps 0 and 10."""
    key = {"run": "d/a/depth=3", "role": "evaluation", "replicate": 0, "learning_rate": 0.1}
    runs = pd.DataFrame([key | {"depth": 3, "status": "finished", "horizon": 1000, "classes": 10}])
    layers = pd.DataFrame(
        [
            key | {"step": step, "layer": layer, "dead": 0.1 * layer * (step > 0), "revived": 0.05 * (step == 20),
                   "gradient_norm_log10": -2.0 * (3 - layer) - step / 100, "gradient_zero": False,
                   "weight_gradient_norm_log10": -1.0 * (3 - layer), "weight_norm_log10": 1.0,
                   "preactivation_sd": 10.0 ** (step / 20)}
            for step in (0, 10, 20)
            for layer in (1, 2, 3, 4)
        ]
    )  # fmt: skip
    curves = pd.DataFrame(
        [
            key | {"step": s, "train_loss": x * math.log(10), "validation_loss": 9.0}
            for s, x in ((0, np.nan), (10, 1), (20, 0.8), (40, 0.5))
        ]
    )
    taken = [("saturation", 0, 0, None, 0.9), ("saturation", 4, 0, None, 0.6), ("saturation", 8, 0, None, 0.2)]
    taken += [("noise_accuracy", 1000, 0, dose, 0.9 - dose / 2) for dose in (0, 0.1, 0.25, 0.5, 1)]
    taken += [("noise_gain", 1000, layer, 0.1, math.exp(layer)) for layer in (1, 2, 3)]
    taken += [("sign_agreement", 0, layer, batch, batch / 64) for layer in (1, 2, 3) for batch in (1, 64)]
    names = ("measurement", "step", "layer", "dose", "value")
    measurements = pd.DataFrame([key | dict(zip(names, values, strict=True)) for values in taken])
    return runs, {"layers": layers, "curves": curves, "measurements": measurements}


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("dead", {}, 0.2),
        ("dead", {"step": "first"}, 0),
        ("dead", {"step": "mean", "layers": "last"}, 0.2),
        ("dead", {"step": 10, "layers": "inner"}, 0.25),
        ("dead", {"layers": 1}, 0.1),
        ("gradient_decay", {}, 2),
        ("update_decay", {"step": "mean"}, 1),
        ("gradient_ratio", {}, -4),
        ("scale_drift", {}, 1),
        ("revival_rate", {}, 0.05 / 0.2),
        ("plateau_time", {}, math.log(15)),
        ("saturation_time", {}, math.log(5)),
        ("noise_loss", {}, 0.25),
        ("noise_gain", {}, 2),
        ("noise_gain", {"layers": "last"}, 3),
        ("sign_agreement", {"batch": 1}, 1 / 64),
        ("sign_agreement", {}, 1),
    ],
)
def test_metrics_on_a_replica_by_hand(one_replica, name, options, expected):
    runs, tables = one_replica
    values = METRICS[name].values(Tables(tables), runs, options)
    assert values["value"].tolist() == pytest.approx([expected])


def test_a_gradient_of_zero_counts_as_float32s_least(one_replica):
    runs, tables = one_replica
    dead = (tables["layers"]["layer"] == 1) & (tables["layers"]["step"] == 20)
    tables["layers"].loc[dead, ["gradient_norm_log10", "gradient_zero"]] = [np.nan, True]
    assert METRICS["gradient_ratio"].values(Tables(tables), runs, {})["value"].item() == pytest.approx(-45 + 0.2)


def test_who_never_gets_there_counts_as_the_budget(one_replica):
    runs, tables = one_replica
    tables["curves"]["train_loss"] = 9.0
    never = METRICS["plateau_time"].values(Tables(tables), runs, {})
    assert (never["value"].item(), never["reached"].item()) == (pytest.approx(math.log(1000)), False)
    diverged = METRICS["saturation_time"].values(Tables(tables), runs.assign(status="diverged"), {})
    assert diverged["value"].item() == pytest.approx(math.log(1000))


def test_a_network_without_any_gradient_has_no_slope(one_replica):
    """All of it dead at step 20: only the steps before count, and nothing where that was so from the start."""
    runs, tables = one_replica
    expected = METRICS["gradient_decay"].values(Tables(tables), runs, {"step": "mean"})["value"].item()
    dead = tables["layers"]["step"] == 20
    tables["layers"].loc[dead, ["gradient_norm_log10", "gradient_zero"]] = [np.nan, True]
    found = METRICS["gradient_decay"].values(Tables(tables), runs, {"step": "mean"})
    assert found["value"].item() == pytest.approx(expected)
    tables["layers"][["gradient_norm_log10", "gradient_zero"]] = [np.nan, True]
    for name in ("gradient_decay", "update_decay"):
        assert METRICS[name].values(Tables(tables), runs, {}).empty


@pytest.fixture
def tuned():
    """Seven rates of one tuning seed; 0.1 is selected, and those that are stopped end at step 25."""
    key = {"run": "d/a/depth=3", "role": "tuning", "replicate": 0, "classes": 10}
    rates = [
        # rate, status, steps done, validation accuracy at step 25, at step 100
        (0.001, "pruned", 25, 0.10, None),  # slow
        (0.03, "pruned", 25, 0.40, None),
        (0.1, "finished", 100, 0.70, 0.90),
        (0.3, "finished", 100, 0.11, 0.50),  # at chance where rates are compared
        (0.5, "diverged", 60, 0.60, None),  # after the others were stopped
        (1.0, "diverged", 7, None, None),
        (3.0, "pruned", 25, 0.13, None),  # more than two points above guessing
    ]
    runs = pd.DataFrame(
        [key | {"learning_rate": r, "status": status, "steps_done": done, "selected": r == 0.1,
                "diverged_step": done if status == "diverged" else None}
         for r, status, done, _, _ in rates]
    )  # fmt: skip
    points = [(r, 25, early) for r, _, _, early, _ in rates] + [(r, 100, late) for r, _, _, _, late in rates]
    curves = pd.DataFrame(
        [key | {"learning_rate": r, "step": s, "validation_accuracy": a} for r, s, a in points if a is not None]
    )
    return runs, Tables({"curves": curves})


def test_lost_are_rates_that_diverge_and_those_above_the_best_that_are_left_at_chance(tuned):
    runs, tables = tuned
    assert METRICS["instability"].values(tables, runs, {})["value"].tolist() == pytest.approx([2 / 7])


def test_sensitivity_to_the_rate_takes_a_diverged_one_at_chance(tuned):
    runs, tables = tuned
    mean = (0.10 + 0.40 + 0.70 + 0.11 + 0.60 + 0.10 + 0.13) / 7
    assert METRICS["rate_sensitivity"].values(tables, runs, {})["value"].tolist() == pytest.approx([0.7 - mean])
