"""Initial weights: their law, their pairing, and what they do to signals."""

import math

import pytest
import torch
from scipy import stats
from torch import nn

from activation_study.core.errors import StudyError
from activation_study.networks.initialisation import initial_parameters, scales
from small import CONSTANTS
from stacks import factors_of

DIMS = [20, 300, 300, 10]
NO_EDGE = {"gain": 1.85, "mean": 0.5, "sigma_w2": None, "sigma_b2": None}


def _draw(seed=0, constants=CONSTANTS["tanh"], dims=DIMS, **factors):
    return initial_parameters(seed, dims, factors_of(**factors), constants)


def test_scales_by_scheme():
    gain, sigma_w = CONSTANTS["tanh"]["gain"], math.sqrt(CONSTANTS["tanh"]["sigma_w2"])
    sigma_b = math.sqrt(CONSTANTS["tanh"]["sigma_b2"])
    assert scales("gain", CONSTANTS["tanh"], 3) == [(1, 0), (gain, 0), (gain, 0), (gain, 0)]
    edge = scales("edge_of_chaos", CONSTANTS["tanh"], 3)
    assert edge == [(1, 0), (sigma_w, sigma_b), (sigma_w, sigma_b), (sigma_w, 0)]
    assert scales("edge_of_chaos", NO_EDGE, 2) == scales("gain", NO_EDGE, 2)
    assert scales("gain", NO_EDGE, 1) == [(1, 0), (1.85, 0)]
    with pytest.raises(StudyError, match="xavier"):
        scales("xavier", NO_EDGE, 1)


@pytest.mark.parametrize("initialisation", ["gain", "edge_of_chaos"])
def test_weights_are_normal_with_the_asked_variance(initialisation):
    layers = _draw(initialisation=initialisation)
    asked = scales(initialisation, CONSTANTS["tanh"], 2)
    for (weight, bias), (sigma_w, sigma_b), fan_in in zip(layers, asked, DIMS, strict=False):
        z = (weight * math.sqrt(fan_in) / sigma_w).flatten().numpy()
        assert stats.kstest(z, "norm").pvalue > 1e-3
        if sigma_b == 0:
            assert not bias.any()
        else:
            assert stats.kstest(bias.numpy() / sigma_b, "norm").pvalue > 1e-3


def test_the_default_of_pytorch_is_that_of_nn_linear():
    layers = _draw(initialisation="torch_default")
    for (weight, bias), fan_in, fan_out in zip(layers, DIMS, DIMS[1:], strict=False):
        linear = nn.Linear(fan_in, fan_out)
        assert weight.shape == (fan_in, fan_out)
        for mine, theirs in ((weight, linear.weight), (bias, linear.bias)):
            both = mine.flatten().numpy(), theirs.detach().flatten().numpy()
            assert stats.ks_2samp(*both).pvalue > 1e-3
            assert mine.abs().max() <= 1 / math.sqrt(fan_in)


@pytest.mark.parametrize("initialisation", ["gain", "edge_of_chaos", "torch_default"])
def test_a_seed_is_paired_over_activations_and_no_two_seeds_are_alike(initialisation):
    relu, tanh = (_draw(3, CONSTANTS[name], initialisation=initialisation) for name in ("relu", "tanh"))
    other = _draw(4, CONSTANTS["relu"], initialisation=initialisation)
    for layer, ((w, _), (v, _), (u, _)) in enumerate(zip(relu, tanh, other, strict=True)):
        ratio = (w / v).flatten()
        torch.testing.assert_close(ratio, ratio[0].expand_as(ratio), rtol=1e-12, atol=0)
        assert abs(torch.corrcoef(torch.stack([w.flatten(), u.flatten()]))[0, 1]) < 0.1
        if layer == 0:
            assert torch.equal(w, v), "the first layer sees the data, not the activation"


def test_the_second_moment_stays_at_one_under_the_gain():
    x = torch.randn(500, 400, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    x /= x.square().mean(1, keepdim=True).sqrt()
    layers = _draw(0, CONSTANTS["relu"], dims=[400, *[1000] * 5, 10])
    for weight, bias in layers[:-1]:
        h = x @ weight + bias
        assert h.square().mean().item() == pytest.approx(1, rel=0.15)
        x = h.relu()


def test_the_initial_bias_is_that_of_hidden_layers_only():
    plain, shifted = _draw(), _draw(initial_bias=-2.0)
    for layer, ((w, b), (v, c)) in enumerate(zip(plain, shifted, strict=True)):
        assert torch.equal(w, v)
        assert torch.equal(c - b, torch.full_like(b, -2.0 if layer < 2 else 0.0))


def test_centring_moves_biases_so_that_the_function_stays():
    constants = CONSTANTS["relu"]
    plain, centred = _draw(constants=constants), _draw(constants=constants, centred=True)
    x = y = torch.randn(50, 20, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    for layer, ((w, b), (v, c)) in enumerate(zip(plain, centred, strict=True)):
        assert torch.equal(w, v)
        x, y = x @ w + b, y @ v + c
        torch.testing.assert_close(x, y, rtol=1e-12, atol=1e-12)
        x, y = x.relu(), y.relu() - constants["mean"]
        assert layer == 2 or abs(y.mean()) < x.mean()
