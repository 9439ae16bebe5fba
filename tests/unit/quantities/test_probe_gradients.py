"""Gradients that the probe sees, against autograd in float64."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from torch import nn

from activation_study.networks.mlp import StackedMLP
from activation_study.quantities.exact import exact_copy
from activation_study.quantities.probe import GRADIENT_METRICS, Probe
from activation_study.quantities.views import GradientView
from formulas import FUNCTIONS
from reference import sequential
from stacks import CLASSES, FEATURES, factors_of, stacked


class _Tap(nn.Module):
    """Hands its input on and keeps its gradient."""

    def forward(self, h):
        h.retain_grad()
        self.h = h
        return h


def _tapped(model):
    """The taps stand before each activation; linear layers and taps, from input to output."""
    layers = []
    for layer in model:
        if not isinstance(layer, nn.Linear | nn.BatchNorm1d):
            layers.append(_Tap())
        layers.append(layer)
    tapped = nn.Sequential(*layers)
    linears = [layer for layer in tapped if isinstance(layer, nn.Linear)]
    return tapped, linears, [layer for layer in tapped if isinstance(layer, _Tap)]


def _log10(norm):
    return math.log10(norm) if norm > 0 else math.nan


def _rms(delta):
    """delta [N, W]: the gradient of each sample's own loss."""
    return math.sqrt((delta**2).sum(1).mean())


def _sign_agreement(gradient):
    """gradient [fan-out, fan-in], as nn.Linear has it."""
    rows = [np.sign(row[row != 0]) for row in gradient]
    return np.mean([abs(row.sum()) / len(row) for row in rows if len(row)]) if any(map(len, rows)) else np.nan


# name -> f(δ [N, W] of the sum of the losses, or None; W, ∂(mean loss)/∂W as nn.Linear has them)
GRADIENT_REFERENCE = {
    "gradient_norm_log10": lambda delta, w, g: math.nan if delta is None else _log10(_rms(delta)),
    "gradient_zero": lambda delta, w, g: math.nan if delta is None else float(not delta.any()),
    "weight_gradient_norm_log10": lambda delta, w, g: _log10(math.sqrt((g**2).sum())),
    "weight_norm_log10": lambda delta, w, g: math.log10(math.sqrt((w**2).sum())),
    "sign_agreement": lambda delta, w, g: _sign_agreement(g),
}


def test_every_gradient_metric_has_a_reference():
    assert set(GRADIENT_REFERENCE) == set(GRADIENT_METRICS)


def _measured(network, inputs, labels, samples=40):
    """The probe's gradient metrics, and the reference's: two lists of mappings, [replica][layer]."""
    found = Probe(network, 1.0, inputs.to(network.dtype), labels).gradients(network)
    expected = []
    for replica in range(network.replicas):
        model, linears, taps = _tapped(sequential(network, replica).double().train())
        logits = model(inputs[replica].double())
        nn.functional.cross_entropy(logits, labels[replica], reduction="sum").backward()
        n = len(labels[replica])
        rows = []
        for i, linear in enumerate(linears):
            delta = taps[i].h.grad.numpy() if i < len(taps) else None
            row = (delta, linear.weight.detach().numpy(), linear.weight.grad.numpy() / n)
            rows.append({name: f(*row) for name, f in GRADIENT_REFERENCE.items()})
        expected.append(rows)
    return found, expected


def _probe_samples(replicas=3, samples=40, seed=3):
    source = torch.Generator().manual_seed(seed)
    inputs = torch.randn(replicas, samples, FEATURES, generator=source)
    return inputs, torch.randint(CLASSES, (replicas, samples), generator=source)


@pytest.mark.parametrize("metric", GRADIENT_METRICS)
@pytest.mark.parametrize("normalisation", ["none", "batch"])
@pytest.mark.parametrize(
    "name", ["relu", "prelu", *(pytest.param(n, marks=pytest.mark.slow) for n in ("sigmoid", "quick_gelu"))]
)
def test_gradient_metric(name, normalisation, metric):
    network = stacked(name, normalisation=normalisation)
    for norm in network.norms:  # any state other than that of initialisation
        norm.weight.uniform_(0.5, 2, generator=torch.Generator().manual_seed(1))
        norm.bias.uniform_(-1, 1, generator=torch.Generator().manual_seed(2))
    before = [tensor.clone() for tensor in network.state]
    found, expected = _measured(network, *_probe_samples())
    for layer in range(network.depth + 1):
        for replica in range(network.replicas):
            value = expected[replica][layer][metric]
            if not (metric == "gradient_zero" and layer == network.depth):
                assert found[metric][replica, layer] == pytest.approx(value, rel=1e-9, abs=1e-9, nan_ok=True)
    for now, then in zip(network.state, before, strict=True):
        assert torch.equal(now, then), "a probe must not change what it measures"


def test_gradients_that_are_exactly_zero():
    network = stacked("relu")
    network.biases[1][0] -= 100.0  # replica 0: layer 2 is dead, so nothing reaches layers 1 and 2
    network.biases[2][0] += 1.0  # but layer 3 is alive
    found, expected = _measured(network, *_probe_samples())
    assert found["gradient_zero"][:, :3].tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 0]]
    for metric in GRADIENT_METRICS:
        if metric != "gradient_zero":
            want = [[layer[metric] for layer in rows] for rows in expected]
            np.testing.assert_allclose(found[metric], want, rtol=1e-9)
    assert found["gradient_norm_log10"][0, :2].isnan().all()
    assert found["sign_agreement"][0, :3].isnan().all(), "layer 3's input is zero, so its weights get nothing"


def test_sign_agreement_of_one_sample_is_total_for_a_relu_layer():
    network = stacked("relu", dtype=torch.float32)
    inputs, labels = _probe_samples(samples=1)
    one = Probe(network, 1.0, inputs, labels).gradients(network)["sign_agreement"]
    assert (one[:, 1:] == 1).all(), "positive inputs: one sign for all the weights of a neuron"
    assert (one[:, 0] < 1).all(), "inputs of both signs"
    many = Probe(network, 1.0, *_probe_samples(samples=64)).gradients(network)["sign_agreement"]
    assert (many[:, 1:] < 1).all(), "over a batch the claim fails"


def test_gradient_views_need_no_activation_gradient_at_the_output():
    view = GradientView(torch.full((2,), torch.nan), torch.ones(2, 3, 4).double(), torch.ones(2, 3, 4).double())
    assert GRADIENT_METRICS["gradient_norm_log10"](view).isnan().all()
    assert GRADIENT_METRICS["weight_norm_log10"](view).tolist() == pytest.approx([math.log10(12) / 2] * 2)


def test_frozen_noise_is_the_same_at_every_probe():
    network = stacked("relu", dtype=torch.float32, normalisation="noisy_batch")
    probe = Probe(network, 1.0, *_probe_samples())
    first = probe.gradients(network)
    network.draw(5)  # as training does in between
    for name, values in probe.gradients(network).items():
        assert torch.equal(first[name].nan_to_num(99), values.nan_to_num(99))
    plain = stacked("relu", dtype=torch.float32, normalisation="batch")
    other = Probe(plain, 1.0, *_probe_samples()).gradients(plain)
    assert (first["gradient_norm_log10"] - other["gradient_norm_log10"])[:, :3].abs().min() > 1e-3


# By how much the probe of a float32 network may miss that of the same network in float64.
FLOAT32_GRADIENTS = {"gradient_norm_log10": 2e-3, "gradient_zero": 0, "weight_gradient_norm_log10": 2e-3,
                     "weight_norm_log10": 1e-6, "sign_agreement": 1e-2}  # fmt: skip


@pytest.mark.parametrize("normalisation", ["none", "batch"])
@pytest.mark.parametrize("name", ["relu", "sigmoid", "tanh", "elu", "prelu"])
def test_float32_does_for_gradients_that_are_not_faint(name, normalisation):
    network = stacked(name, depth=20, width=64, dtype=torch.float32, normalisation=normalisation)
    inputs, labels = _probe_samples()
    found, exact = Probe(network, 1.0, inputs, labels).gradients(network), exact_copy(network)
    expected = Probe(exact, 1.0, inputs.double(), labels).gradients(exact)
    assert not torch.equal(found["weight_gradient_norm_log10"], expected["weight_gradient_norm_log10"])
    for metric, error in FLOAT32_GRADIENTS.items():
        np.testing.assert_allclose(found[metric], expected[metric], rtol=0, atol=error, err_msg=metric)


@pytest.mark.slow
def test_fifty_sigmoid_layers_do_not_underflow():
    """In float32 the first layer's gradient is exactly zero; in truth it is about 1e-45."""
    network = stacked("sigmoid", replicas=2, depth=50, width=64, dtype=torch.float32, initialisation="torch_default")
    inputs, labels = _probe_samples(replicas=2)
    found, expected = _measured(network, inputs, labels)
    for replica in range(2):
        want = [layer["gradient_norm_log10"] for layer in expected[replica][:-1]]
        np.testing.assert_allclose(found["gradient_norm_log10"][replica, :-1], want, rtol=1e-10)
    assert found["gradient_norm_log10"][:, 0].max() < -40
    assert not found["gradient_zero"][:, :-1].any()
    single = {}
    network.loss_and_gradients(inputs, labels, lambda i, g: None, lambda layer, d: single.update({layer: d.norm()}))
    assert single[1] == 0, "float32 would have done: the test shows nothing"


def _gaussian_mean(f):
    """E f(z), kinks at 0 allowed."""
    both = (integrate.quad(lambda z: f(z) * stats.norm.pdf(z), *ends)[0] for ends in ((-12, 0), (0, 12)))
    return sum(both)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sigmoid", "relu", "tanh"])
def test_gradients_decay_as_mean_field_theory_says(name):
    """‖δ‖ shrinks by √χ₁ a layer, χ₁ = g² E φ′(z)², at the gain g, where every layer's q is 1."""
    phi, slope, _ = FUNCTIONS[name]
    gain = _gaussian_mean(lambda z: phi(z) ** 2) ** -0.5
    predicted = gain * math.sqrt(_gaussian_mean(lambda z: slope(z) ** 2))
    activation = stacked(name).activation
    constants = {"gain": gain, "mean": 0.0, "slope_max": 1.0}
    factors = factors_of(depth=6, width=512)
    squares = []
    for first in range(0, 20, 4):
        source = torch.Generator().manual_seed(first)
        inputs = torch.randn(4, 32, 256, generator=source)
        inputs /= inputs.square().mean(2, keepdim=True).sqrt()
        labels = torch.randint(10, (4, 32), generator=source)
        network = StackedMLP(activation, factors, constants, 256, 10, range(first, first + 4))
        found = Probe(network, 1.0, inputs, labels).gradients(network)["gradient_norm_log10"][:, :6]
        squares.append(10 ** (2 * found))
    norms = torch.cat(squares).mean(0).sqrt()  # over 20 seeds
    ratios = norms[:-1] / norms[1:]
    assert ratios.tolist() == pytest.approx([predicted] * 5, rel=0.05)
    assert (norms[0] / norms[-1]).item() == pytest.approx(predicted**5, rel=0.1)
