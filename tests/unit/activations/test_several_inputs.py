"""Several inputs at once, against closed forms, quadrature over two variables and networks drawn with NumPy."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import special

from activation_study.activations import correlation, finite_width, several_inputs

X = np.linspace(-5, 5, 201)
FIXED = {"stochastic": False}


def drawn(function) -> pd.DataFrame:
    return pd.DataFrame({"x": X, "value": function(X)})


def leaky(slope: float):
    return drawn(lambda x: np.where(x > 0, x, slope * x)), FIXED | {"gain": math.sqrt(2 / (1 + slope**2))}


@pytest.mark.parametrize("slope", [0, 1 / 5.5, 0.7])
@pytest.mark.parametrize("start", [0.0, 0.4])
def test_correlations_of_leaky_relus_have_a_closed_form(slope: float, start: float):
    found = several_inputs.beginnings(*leaky(slope), 20, 64, "gain", start)["correlation"]
    expected = [correlation.after(layers, start, slope) for layers in range(20)]
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("function", [np.tanh, special.expit, lambda x: np.clip(x, -1, 1), lambda x: np.maximum(x, -1)])
@pytest.mark.parametrize(("q", "c"), [(1.0, 0.0), (1.0, 0.6), (0.2, 0.95), (3.0, 0.3)])
def test_the_product_by_quadrature_over_two_variables(function, q: float, c: float):
    z = np.linspace(-8, 8, 1601)
    density = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi) * (z[1] - z[0])
    u, v = math.sqrt(q) * z[:, None], math.sqrt(q) * (c * z[:, None] + math.sqrt(1 - c * c) * z)
    expected = density @ (function(u) * function(v)) @ density
    points = several_inputs.graph(drawn(function), FIXED)
    assert several_inputs.product(points, q)(c) == pytest.approx(expected, abs=5e-4)  # straight pieces


def test_a_random_slope_sets_equal_inputs_apart():
    """Slopes U(0, 1): the mean, ½, is what two inputs share; the second moment, ⅓, is what each has."""
    constants = {
        "stochastic": True,
        "gain": math.sqrt(2 / (1 + 1 / 3)),
        "chi": 1.0,
        "mean": 0.5 / math.sqrt(2 * math.pi),
    }
    found = several_inputs.beginnings(leaky(0.5)[0], constants, 2, 64, "gain", 1.0)["correlation"]
    np.testing.assert_allclose(found, [1, (1 + 0.25) / (1 + 1 / 3)], rtol=1e-9)
    assert several_inputs.beginnings(drawn(np.tanh), constants, 2, 64, "gain") is None


def test_few_points_are_enough_for_what_is_straight():
    assert [len(several_inputs.graph(*leaky(slope))[0]) for slope in (0, 0.5, 1)] == [3, 3, 3]
    assert several_inputs.graph(drawn(np.tanh), FIXED)[0].size > 190


def test_a_layer_that_no_input_passes():
    """Of ReLU each unit is off with probability ½, whatever the layer before."""
    rows = several_inputs.beginnings(*leaky(0), 6, 3, "gain")
    assert 1 - (1 - rows["silent"]).prod() == pytest.approx(finite_width.born_dead([3] * 6))
    np.testing.assert_allclose(rows["silent"], 1 / 8, rtol=1e-12)


def test_dead_at_unrelated_and_at_equal_inputs():
    relu, hard = (
        several_inputs.graph(drawn(f), FIXED) for f in (lambda x: np.maximum(x, 0), lambda x: np.clip(x, -1, 1))
    )
    assert several_inputs.dead(relu, 1.0, 0.0, 5) == pytest.approx(2**-5)
    assert several_inputs.dead(relu, 1.0, 0.5, 2) == pytest.approx(1 / 4 + math.asin(0.5) / (2 * math.pi))
    assert several_inputs.dead(relu, 1.0, 1.0, 100) == pytest.approx(0.5, abs=2e-3)
    assert several_inputs.dead(hard, 4.0, 0.0, 3) == pytest.approx((2 * special.ndtr(-0.5)) ** 3)
    assert several_inputs.dead(several_inputs.graph(drawn(np.tanh), FIXED), 1.0, 0.5) < 1e-9


@pytest.mark.slow
@pytest.mark.parametrize("initialisation", ["gain", "torch_default"])
def test_drawn_networks_are_so(initialisation: str):
    rng, width, depth, inputs = np.random.default_rng(0), 1000, 8, several_inputs.INPUTS
    portrait, constants = leaky(0)
    rows = several_inputs.beginnings(portrait, constants, depth, width, initialisation)
    x = np.linalg.qr(rng.standard_normal((width, inputs)))[0] * math.sqrt(width)
    seen = []
    for layer in range(depth):
        if initialisation == "gain":
            weight, bias = rng.standard_normal((width, width)) * (constants["gain"] if layer else 1), np.zeros(width)
        else:
            weight, bias = rng.uniform(-1, 1, (width, width)), rng.uniform(-1, 1, width) / math.sqrt(width)
        h = weight @ x / math.sqrt(width) + bias[:, None]
        cosines = (h.T @ h) / np.outer(*2 * [np.linalg.norm(h, axis=0)])
        seen.append((cosines[np.triu_indices(inputs, 1)].mean(), (h <= 0).all(1).mean()))
        x = np.maximum(h, 0)
    np.testing.assert_allclose(seen, rows[["correlation", "dead"]], atol=0.08)
