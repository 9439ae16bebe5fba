"""The predictions from graphs against those from the functions themselves."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import laws
from activation_study.activations import mean_field, theory
from activation_study.activations.activation import from_entry
from activation_study.networks.initialisation import scales
from formulas import TABLE


def graph(activation) -> pd.DataFrame:
    x = np.linspace(-5, 5, 201)
    return pd.DataFrame({"x": x, "value": activation.evaluate(x)[0]})


@pytest.mark.slow
@pytest.mark.parametrize("name", ["identity", "relu", "very_leaky_relu", "sigmoid", "tanh", "elu", "selu", "gelu"])
@pytest.mark.parametrize("initialisation", ["gain", "torch_default"])
def test_the_decay_is_that_of_the_function(name: str, initialisation: str):
    activation = from_entry(name, TABLE[name][0])
    constants = theory.constants(activation)
    scale = mean_field.start(initialisation, constants, 64, 64)
    decay = mean_field.gradient_decay(mean_field.law(graph(activation), constants), 20, *scale)
    expected = laws.gradient_decay(theory.response(activation), 20, *scale)
    np.testing.assert_allclose(decay, expected, atol=0.002 * 20)
    assert decay[-1] == 0


@pytest.mark.parametrize("name", ["rrelu", "rrelu_article", "rrelu_paper"])
def test_a_random_slope_counts_with_its_second_moment(name: str):
    activation = from_entry(name, TABLE[name][0])
    constants = theory.constants(activation)
    phi = mean_field.law(graph(activation), constants)
    exact = theory.response(activation)
    for q in (0.3, 1.0, 4.0):
        square = theory.gaussian_mean(exact.square, math.sqrt(q))
        slope_square = theory.gaussian_mean(exact.slope_square, math.sqrt(q))
        assert phi(q) == pytest.approx((square, slope_square))


def test_other_noise_has_no_prediction():
    x = np.linspace(-5, 5, 201)
    bent = pd.DataFrame({"x": x, "value": np.tanh(x)})
    assert mean_field.law(bent, {"stochastic": True, "gain": 1.6, "chi": 1.2}) is None


def test_one_layer_has_nothing_to_lose():
    assert mean_field.gradient_decay(lambda q: (q, 1.0), 1, 2.0, 0.0, 1.0).tolist() == [0.0]


def test_three_layers_by_hand():
    """χ(q) = 2 · q with σ_w² = 2 and E φ² = q/4, so that q halves: 1, ½."""
    decay = mean_field.gradient_decay(lambda q: (q / 4, q), 3, 2.0, 0.0, 1.0)
    np.testing.assert_allclose(decay, [0.5 * math.log10(2 * 1), 0.5 * math.log10(1), 0], atol=1e-12)


@pytest.mark.parametrize("initialisation", ["gain", "edge_of_chaos"])
@pytest.mark.parametrize("name", ["relu", "tanh", "sigmoid"])
def test_the_scales_are_those_of_the_networks(name: str, initialisation: str):
    constants = theory.constants(from_entry(name, TABLE[name][0]))
    drawn = scales(initialisation, constants, 5)
    sigma_w2, sigma_b2, q1 = mean_field.start(initialisation, constants, 64, 64)
    assert (sigma_w2, sigma_b2) == pytest.approx((drawn[1][0] ** 2, drawn[1][1] ** 2))
    assert q1 == drawn[0][0] ** 2


def test_the_default_of_pytorch_is_what_nn_linear_draws():
    torch.manual_seed(0)
    layers = [nn.Linear(64, 400) for _ in range(20)]
    sigma_w2, sigma_b2, q1 = mean_field.start("torch_default", {}, 64, 64)
    assert 64 * np.mean([layer.weight.var().item() for layer in layers]) == pytest.approx(sigma_w2, rel=0.02)
    assert np.mean([layer.bias.var().item() for layer in layers]) == pytest.approx(sigma_b2, rel=0.05)
    x = torch.randn(500, 64)
    assert np.mean([layer(x).square().mean().item() for layer in layers]) == pytest.approx(q1, rel=0.05)
