"""Numbers that go wrong: each ends as rows that the tables take, or in one line that says what to change."""

import math

import numpy as np
import pytest

import small
from activation_study.activations import examination
from activation_study.core.errors import StudyError
from activation_study.data.arrays import Arrays
from activation_study.tables import parquet

EVERYTHING = ["noise", "selectivity", "covariate_shift", "sign_agreement", "saturation", "path"]
WHOLE = {"pruning": {"keep": 9}}  # of the learning rates, so that all go on


def _rows(factors=None, arrays=None, **changes):
    """Trained with every measurement, and taken by every table's schema."""
    run = small.run({"steps": 10, "measure": EVERYTHING} | (factors or {}), training=WHOLE, **changes)
    rows = small.rows(run, arrays)
    for name, part in rows.items():
        parquet.validate(name, parquet.from_rows(name, part))
    assert len(rows["runs"]) == 2 * len(run.settings.learning_rates) + 2, "no network is left out"
    return rows


def _scored(rows):
    """The evaluation rows: each has scores that are numbers, whatever became of the network."""
    scored = [row for row in rows["runs"] if row["role"] == "evaluation"]
    for row in scored:
        for part in ("train", "validation", "test"):
            assert 0 <= row[f"{part}_accuracy"] <= 1
            assert math.isfinite(row[f"{part}_loss"])
    return scored


def _taken(rows, name):
    found = [row["value"] for row in rows["measurements"] if row["measurement"] == name]
    assert found
    return found


def _arrays(x, y):
    return Arrays(x.astype(np.float32), y.astype(np.int64), None, int(y.max()) + 1, "planted", f"{x.sum()} {y.sum()}")


@pytest.mark.parametrize("rule", ["momentum", "sgd", "adam"])
def test_overflow_is_divergence(rule):
    """Weights beyond float32: the scores are those of guessing, and what was measured before is kept."""
    factors = {"activation": "prelu", "depth": 3, "optimiser": rule}
    rows = _rows(factors, learning_rates={rule: [1000.0]}, activations={"prelu": {"expression": "x * abs(x)"}})
    for row in _scored(rows):
        assert row["status"] == "diverged"
        assert 0 < row["diverged_step"] <= 10
        assert row["test_loss"] == pytest.approx(math.log(3))
        assert row["test_accuracy"] == pytest.approx(1 / 3)
    assert {row["step"] for row in rows["layers"]} == {0}


@pytest.mark.slow
def test_nan_from_an_activation_is_divergence(monkeypatch):
    """A function that is fine wherever it is checked, here from -40 to 40, and has no value where the bias takes it."""
    monkeypatch.setattr(examination, "REACH", 40.0)
    formula = {"relu": {"expression": "log1p(x + 40)"}}
    rows = _rows({"initial_bias": -500.0}, activations=formula)
    assert {row["status"] for row in rows["runs"]} == {"diverged"}
    assert {row["diverged_step"] for row in rows["runs"]} == {0}
    assert {row["test_loss"] for row in _scored(rows)} == {math.log(3)}
    assert rows["curves"] == rows["layers"] == rows["measurements"] == []
    assert {row["status"] for row in _rows(activations=formula)["runs"]} == {"finished"}, "or the formula is at fault"


def test_a_network_that_is_all_dead_has_no_gradients_to_measure():
    rows = _rows({"initial_bias": -100.0})
    assert {row["status"] for row in _scored(rows)} == {"finished"}
    assert {row["gradient_zero"] for row in rows["layers"] if row["layer"] <= 2} == {True}
    assert set(_taken(rows, "saturation")) == {1.0}
    assert set(_taken(rows, "selectivity")) == {0.0}
    for undefined in ("covariate_shift", "sign_agreement", "sign_agreement_layer", "noise_gain"):
        assert set(_taken(rows, undefined)) == {None}, undefined
    hidden = [row for row in rows["layers"] if row["layer"] <= 2]
    for undefined in ("gradient_norm_log10", "weight_gradient_norm_log10", "correlation", "excess_kurtosis"):
        assert {row[undefined] for row in map(_known, hidden)} == {None}, undefined
    assert {row["effective_rank"] for row in hidden} == {0.0}


def _known(row):
    """NaN is how a row says that a value is missing, too."""
    return {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in row.items()}


@pytest.mark.slow
@pytest.mark.parametrize("normalisation", ["none", "batch"])
def test_a_singular_covariance_is_a_result(normalisation):
    """All features are one, and the activation is linear: every layer's activations have rank one."""
    data = small.blobs(120, features=1)
    arrays = _arrays(np.tile(data.x, 12), data.y)
    linear = {"relu": {"class": "Identity"}}
    rows = _rows({"normalisation": normalisation}, arrays, activations=linear)
    assert {row["status"] for row in _scored(rows)} == {"finished"}
    for row in rows["layers"]:
        if row["layer"] <= 2:
            assert row["effective_rank"] == pytest.approx(1, abs=1e-3)
            assert row["correlation"] == pytest.approx(1, abs=1e-3)


def test_features_that_are_constant_are_a_result():
    data = small.blobs(120)
    x = np.column_stack([data.x, np.zeros(120), np.full(120, 1e6)])
    rows = _rows({"normalisation": "batch"}, _arrays(x, data.y))
    assert {row["status"] for row in _scored(rows)} == {"finished"}
    with pytest.raises(StudyError, match=r"^datasets\.blobs: every input .* is 7; inputs must vary$"):
        _rows(arrays=_arrays(np.full((120, 4), 7.0), data.y))


@pytest.mark.slow
@pytest.mark.parametrize("factor", [1e-36, 1e36])
def test_the_unit_of_the_inputs_does_not_matter(factor):
    """Near both ends of float32 the mean square would overflow or vanish in it."""
    data = small.blobs(120)
    plain, scaled = (_scored(_rows(arrays=_arrays(x, data.y))) for x in (data.x, data.x * np.float32(factor)))
    for one, other in zip(plain, scaled, strict=True):
        assert other["test_loss"] == pytest.approx(one["test_loss"], rel=1e-3)


def test_a_class_that_a_part_lacks_is_one_line():
    data = small.blobs(120)
    y = np.where(np.arange(120) == 5, 2, data.y % 2)
    with pytest.raises(StudyError, match=r"^datasets\.blobs: class 2 has no sample in the .* part of \d+; give each"):
        _rows(arrays=_arrays(data.x, y))


def test_a_batch_and_a_probe_of_one_class_are_a_result():
    """Nineteen samples in twenty are of one class, so most batches of four hold no other."""
    data = small.blobs(200, classes=2)
    y = (np.arange(200) % 20 == 0).astype(int)
    rows = _rows({"batch_size": 4, "normalisation": "batch"}, _arrays(data.x, y))
    assert {row["status"] for row in _scored(rows)} == {"finished"}
    assert all(math.isfinite(value) for value in _taken(rows, "selectivity"))


@pytest.mark.slow
@pytest.mark.parametrize("normalisation", ["none", "batch", "noisy_batch"])
@pytest.mark.parametrize("batch", [1, 10, 500])
def test_fewer_samples_than_a_batch_are_a_result(normalisation, batch):
    """Nine of fifteen are trained on: fewer than the batch or the probe wants; one sample alone has no variance."""
    rows = _rows({"batch_size": batch, "normalisation": normalisation}, small.blobs(15))
    assert {row["status"] for row in _scored(rows)} == {"finished"}
    assert {row["train_samples"] for row in rows["runs"]} == {9}
    doses = {row["dose"] for row in rows["measurements"] if row["measurement"] == "sign_agreement"}
    assert doses == {1.0, 8.0}, "there are no 64"
