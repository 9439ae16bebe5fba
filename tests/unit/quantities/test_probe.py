"""Every metric against numpy or autograd, and the measured gradients against mean-field theory."""

import math
import warnings

import numpy as np
import pytest
import torch
from scipy import integrate, special, stats
from torch import nn

from activation_study.core.columns import LAYER_METRICS
from activation_study.networks.mlp import StackedMLP
from activation_study.quantities import probe as probes
from activation_study.quantities.probe import ACTIVATION_METRICS, GRADIENT_METRICS, GradientView, LayerView, Probe
from reference import sequential
from stacks import CLASSES, FEATURES, stacked

# φ, φ′ and the largest |φ′|, in numpy.
FUNCTIONS = {
    "identity": (lambda h: h, np.ones_like, 1.0),
    "relu": (lambda h: np.maximum(h, 0), lambda h: (h > 0) * 1.0, 1.0),
    "leaky": (lambda h: np.where(h > 0, h, 0.01 * h), lambda h: np.where(h > 0, 1.0, 0.01), 1.0),
    "tanh": (np.tanh, lambda h: 1 / np.cosh(np.clip(h, -300, 300)) ** 2, 1.0),
    "sigmoid": (special.expit, lambda h: special.expit(h) * special.expit(-h), 0.25),
    "softplus": (lambda h: np.logaddexp(h, 0), special.expit, 1.0),
}


def _random(samples=300, units=16, scale=1.0, shift=0.0, seed=0):
    source = np.random.default_rng(seed)
    return source.normal(size=(3, samples, units)) * scale * source.uniform(0.5, 2, size=units) + shift


def _one_alive():
    h = -np.abs(_random()) - 0.1
    h[:, 4, 7] = 1.5
    return h


def _rank_one():
    source = np.random.default_rng(1)
    return source.normal(size=(3, 300, 1)) * source.normal(size=(3, 1, 16))


def _some_constant_units():
    h = _random(seed=5)
    h[:, :, ::2] = np.linspace(-0.9, 0.9, 8)
    return h


LAYERS = {
    "random relu": ("relu", _random()),
    "random leaky": ("leaky", _random(seed=1)),
    "random tanh": ("tanh", _random(scale=3, seed=2)),
    "shifted sigmoid": ("sigmoid", _random(scale=4, shift=-3, seed=3)),
    "softplus far down": ("softplus", _random(shift=-9, seed=4)),
    "odd width": ("tanh", _random(units=7, seed=6)),
    "wider than samples": ("tanh", _random(samples=6, units=16, seed=7)),
    "dead": ("relu", -np.abs(_random()) - 0.1),
    "one unit alive": ("relu", _one_alive()),
    "half dead": ("relu", _random() * ([1, 0] * 8) - ([0, 1] * 8)),
    "zero": ("relu", np.zeros((3, 300, 16))),
    "constant": ("tanh", np.full((3, 300, 16), 0.3)),
    "each unit constant": ("tanh", np.broadcast_to(np.linspace(-0.9, 0.9, 16), (3, 300, 16)).copy()),
    "some units constant": ("tanh", _some_constant_units()),
    "rank one": ("identity", _rank_one()),
    "tiny": ("identity", _random(scale=1e-12, seed=8)),
    "one sample": ("tanh", _random(samples=1)),
    "one unit": ("tanh", _random(units=1)),
}


def _centred(x):
    return x - x.mean(0)


def _flat(h, slope, slope_max):
    return np.abs(slope) < 0.1 * slope_max


def _effective_rank(x):
    if not np.ptp(x, axis=0).any():
        return 0.0
    s = np.linalg.svd(_centred(x), compute_uv=False)
    p = s[s > 1e-9 * s[0]] / s[s > 1e-9 * s[0]].sum()
    return np.exp(-(p * np.log(p)).sum())


def _correlation(x):
    varying = x[:, np.ptp(x, axis=0) > 0]
    if varying.shape[1] < 2:
        return np.nan
    matrix = np.abs(np.corrcoef(varying.T))
    return matrix[~np.eye(len(matrix), dtype=bool)].mean()


def _steepest(slope):
    return np.abs(slope).max(0)


def _dormant(x, threshold):
    size = np.abs(x).mean(0)
    return np.mean(size <= threshold * size.mean())


def _per_layer_sd(value, x):
    return value / x.std() if np.ptp(x) > 0 else np.nan


# name -> f(h, x, slope, slope_max) of one replica's [N, W] arrays, from the definition.
ACTIVATION_REFERENCE = {
    "preactivation_mean": lambda h, x, d, top: h.mean(),
    "preactivation_sd": lambda h, x, d, top: h.std(),
    "preactivation_q05": lambda h, x, d, top: np.quantile(h[:32], 0.05),
    "preactivation_q50": lambda h, x, d, top: np.median(h[:32]),
    "preactivation_q95": lambda h, x, d, top: np.quantile(h[:32], 0.95),
    "mean": lambda h, x, d, top: x.mean(),
    "sd": lambda h, x, d, top: x.std(),
    "excess_kurtosis": lambda h, x, d, top: stats.kurtosis(x, axis=None) if np.ptp(x) > 0 else np.nan,
    "centredness": lambda h, x, d, top: _per_layer_sd(np.median(np.abs(x.mean(0))), x),
    "zero_fraction": lambda h, x, d, top: np.mean(x == 0),
    "saturated_low": lambda h, x, d, top: np.mean(_flat(h, d, top) & (h < 0)),
    "saturated_high": lambda h, x, d, top: np.mean(_flat(h, d, top) & (h >= 0)),
    "dead": lambda h, x, d, top: np.mean(~np.any(d != 0, axis=0)),
    "unusable_001": lambda h, x, d, top: np.mean(_steepest(d) < 1e-3 * top),
    "unusable_01": lambda h, x, d, top: np.mean(_steepest(d) < 1e-2 * top),
    "born_dead": lambda h, x, d, top: np.mean(~np.any(d != 0, axis=0)),
    "died": lambda h, x, d, top: 0.0,
    "revived": lambda h, x, d, top: 0.0,
    "dormant_0": lambda h, x, d, top: np.mean(np.all(x == 0, axis=0)),
    "dormant_025": lambda h, x, d, top: _dormant(x, 0.025),
    "dormant_1": lambda h, x, d, top: _dormant(x, 0.1),
    "effective_rank": lambda h, x, d, top: _effective_rank(x),
    "correlation": lambda h, x, d, top: _correlation(x),
}


def _layer(name):
    """The view of a layer, and the same numbers as float64 arrays."""
    function, h = LAYERS[name]
    phi, slope, top = FUNCTIONS[function]
    x, d = phi(h), slope(h)
    return LayerView(*map(torch.tensor, (h, x, d)), top), (h, x, d, top)


@pytest.mark.parametrize("metric", ACTIVATION_METRICS)
@pytest.mark.parametrize("layer", LAYERS)
def test_activation_metric(layer, metric):
    view, (h, x, slope, top) = _layer(layer)
    found = ACTIVATION_METRICS[metric](view).double().numpy()
    expected = [ACTIVATION_REFERENCE[metric](h[r], x[r], slope[r], top) for r in range(3)]
    # Squared singular values carry the rounding of float64, so the rank carries its root.
    rtol = 1e-5 if metric == "effective_rank" else 1e-9
    scale = np.abs(h if metric.startswith("preactivation") else x).max()
    atol = 1e-13 * (scale if metric in ("preactivation_mean", "preactivation_sd", "mean", "sd") else 10)
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=atol)


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("metric", ACTIVATION_METRICS)
def test_a_replica_that_is_lost_does_not_touch_the_others(metric, bad):
    _, h = LAYERS["random tanh"]
    broken = h.copy()
    broken[1, 5, 3] = bad
    views = []
    for values in (h, broken):
        x = torch.tensor(values)
        views.append(LayerView(x, x, torch.ones_like(x), 1.0))
    fine, found = (ACTIVATION_METRICS[metric](view) for view in views)
    assert torch.equal(found[[0, 2]], fine[[0, 2]])


def test_metrics_leave_the_layer_as_it_was():
    view, _ = _layer("random relu")
    before = [t.clone() for t in (view.h, view.x, view.slope)]
    for metric in ACTIVATION_METRICS.values():
        metric(view)
    for now, then in zip((view.h, view.x, view.slope), before, strict=True):
        assert torch.equal(now, then)


def test_the_tables_and_the_metrics_agree():
    assert [*ACTIVATION_METRICS, *GRADIENT_METRICS] == list(LAYER_METRICS)
    assert set(ACTIVATION_REFERENCE) == set(ACTIVATION_METRICS)
    assert set(GRADIENT_REFERENCE) == set(GRADIENT_METRICS)


def test_units_are_born_dead_die_and_revive():
    network = stacked("relu", replicas=2, depth=1, width=4, dtype=torch.float32)
    inputs, labels = [torch.ones(5, FEATURES)] * 2, [torch.zeros(5, dtype=torch.int64)] * 2
    probe = Probe(network, 1.0, torch.stack(inputs), torch.stack(labels))
    network.weights[0].zero_()

    def measure(*alive, first=False):
        """Of a layer whose units are alive (1) or dead (0), by replica."""
        network.biases[0].copy_(torch.tensor(alive).unsqueeze(1) - 0.5)
        _, _, metrics = probe.activations(network, inputs, labels, first=first)
        return {name: metrics[name][:, 0].tolist() for name in ("dead", "born_dead", "died", "revived")}

    start = measure([1, 1, 1, 0], [1, 1, 1, 1], first=True)
    assert start == {"dead": [0.25, 0], "born_dead": [0.25, 0], "died": [0, 0], "revived": [0, 0]}
    later = measure([0, 0, 1, 1], [1, 1, 1, 0])
    assert later == {"dead": [0.5, 0.25], "born_dead": [0.25, 0], "died": [0.5, 0.25], "revived": [0.25, 0]}
    same = measure([0, 0, 1, 1], [1, 1, 1, 0])
    assert same == {"dead": [0.5, 0.25], "born_dead": [0.25, 0], "died": [0, 0], "revived": [0, 0]}
    # A replica that leaves takes its memory with it, and no other's.
    network.biases[0].copy_(torch.tensor([1, 1, 1, 1.0]).expand(2, 1, 4) - 0.5)
    rest = network.like(network.seeds[1:])
    rest.load([tensor[1:] for tensor in network.parameters + network.buffers])
    _, _, metrics = probe.taken([1], rest).activations(rest, inputs[1:], labels[1:], first=False)
    assert [metrics[name][0, 0] for name in ("dead", "born_dead", "died", "revived")] == [0, 0, 0, 0.25]


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


def _measured(network, inputs, labels, samples=40):
    """The probe's gradient metrics, and the reference's: two lists of mappings, [replica][layer]."""
    found = Probe(network, 1.0, inputs, labels).gradients(network)
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
    network = stacked(name, dtype=torch.float32, normalisation=normalisation)
    for norm in network.norms:  # any state other than that of initialisation
        norm.weight.uniform_(0.5, 2, generator=torch.Generator().manual_seed(1))
        norm.bias.uniform_(-1, 1, generator=torch.Generator().manual_seed(2))
    before = [tensor.clone() for tensor in network.parameters + network.buffers]
    found, expected = _measured(network, *_probe_samples())
    for layer in range(network.depth + 1):
        for replica in range(network.replicas):
            value = expected[replica][layer][metric]
            if not (metric == "gradient_zero" and layer == network.depth):
                assert found[metric][replica, layer] == pytest.approx(value, rel=1e-9, abs=1e-9, nan_ok=True)
    for now, then in zip(network.parameters + network.buffers, before, strict=True):
        assert torch.equal(now, then), "a probe must not change what it measures"


def test_gradients_that_are_exactly_zero():
    network = stacked("relu", dtype=torch.float32)
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
    factors = {"depth": 6, "width": 512, "normalisation": "none", "initialisation": "gain"}
    factors |= {"initial_bias": 0.0, "centred": False}
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


def test_the_probe_measures_evaluation_mode():
    """RReLU at its mean slope: no randomness, whatever was drawn."""
    network = stacked("relu", replicas=1)
    source = torch.Generator().manual_seed(0)
    inputs = [torch.randn(30, FEATURES, generator=source).double()]
    labels = [torch.randint(CLASSES, (30,), generator=source)]
    loss, accuracy, metrics = Probe(network, 1.0, torch.stack(inputs), torch.stack(labels)).activations(
        network, inputs, labels, first=True
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        h = inputs[0] @ network.weights[0][0] + network.biases[0][0]
    for layer in range(3):
        x = torch.relu(h)
        for name in ACTIVATION_METRICS:
            args = (h.numpy(), x.numpy(), (h > 0).double().numpy(), 1.0)
            want = ACTIVATION_REFERENCE[name](*args)
            assert metrics[name][0, layer].item() == pytest.approx(want, rel=1e-6, abs=1e-9, nan_ok=True)
        h = x @ network.weights[layer + 1][0] + network.biases[layer + 1][0]
    want = nn.functional.cross_entropy(h, labels[0])
    assert loss.item() == pytest.approx(want.item())
    assert accuracy.item() == (h.argmax(1) == labels[0]).double().mean().item()
    assert probes.PROBE_STEP < 0, "a training step's noise would be correlated with what was trained on"
