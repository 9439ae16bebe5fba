"""Runs of every family of networks, from data with a shape to the rows of the tables."""

from dataclasses import replace

import pytest

import small
from activation_study.core.errors import StudyError

SHAPED = replace(small.blobs(samples=400, features=36, noise=0.5), shape=(6, 6, 1))
FAMILIES = ["residual_mlp", "convolutional", "residual_convolutional", "transformer", "gated_transformer"]


@pytest.mark.slow
@pytest.mark.parametrize("activation", ["relu", "rrelu", "prelu"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_run_learns_and_is_probed(family, activation):
    factors = {"network": family, "activation": activation, "depth": 3, "steps": 60}
    rows = small.rows(small.run(factors), SHAPED)
    last = [row for row in rows["runs"] if row["role"] == "evaluation" and row["selected"]]
    assert all(row["status"] == "finished" and row["test_accuracy"] > 0.6 for row in last)
    layers = [row for row in rows["layers"] if row["step"] == 60]
    assert {row["layer"] for row in layers} == {1, 2, 3, 4}
    samples = {row["layer"]: row["samples"] for row in layers}
    positions = 1 if family == "residual_mlp" else 9  # three by three, of maps or of patches
    assert [samples[layer] for layer in (1, 2, 3)] == [positions * samples[4]] * 3
    assert all(0 <= row["dead"] <= 1 for row in layers if row["layer"] < 4)
    assert all(row["gradient_norm_log10"] is not None for row in layers if row["layer"] < 4)


@pytest.mark.parametrize("family", ["residual_convolutional", "transformer"])
def test_a_run_is_the_same_again(family):
    one, other = (
        small.rows(small.run({"network": family, "depth": 2, "steps": 10, "normalisation": "group"}), SHAPED)
        for _ in range(2)
    )
    for table in ("runs", "curves", "layers"):
        assert repr(one[table]) == repr(other[table])  # missing losses are not equal to themselves


def test_data_without_a_shape_are_named():
    with pytest.raises(StudyError, match=r"^network: convolutional needs series or images, and the samples of blobs"):
        small.rows(small.run({"network": "convolutional"}))


def test_group_normalisation_of_a_multilayer_perceptron():
    rows = small.rows(small.run({"normalisation": "group", "initialisation": "lsuv"}))
    last = [row for row in rows["layers"] if row["step"] == 0 and row["layer"] < 3]
    assert all(row["preactivation_sd"] == pytest.approx(1, abs=0.2) for row in last)
