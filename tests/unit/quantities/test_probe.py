"""Every metric against numpy or autograd, and the measured gradients against mean-field theory."""

import warnings

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from activation_study.quantities import probe as probes
from activation_study.quantities.exact import exact_copy
from activation_study.quantities.probe import ACTIVATION_METRICS, GRADIENT_METRICS, Probe
from activation_study.quantities.views import LayerView
from activation_study.tables.columns import LAYER_METRICS
from formulas import FUNCTIONS
from stacks import CLASSES, FEATURES, samples_of, stacked


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
    rest.load([tensor[1:] for tensor in network.state])
    other = Probe(rest, 1.0, probe.inputs[1:], probe.labels[1:])
    other.load([mask[1:] for mask in probe.state])
    _, _, metrics = other.activations(rest, inputs[1:], labels[1:], first=False)
    assert [metrics[name][0, 0] for name in ("dead", "born_dead", "died", "revived")] == [0, 0, 0, 0.25]


# By how much the probe of a float32 network may miss that of the same network in float64, relatively.
FLOAT32 = dict.fromkeys(ACTIVATION_METRICS, 1e-3) | {"effective_rank": 1e-2}


def _probed(network, replicas=slice(None)):
    chosen = network.like(network.seeds[replicas])
    chosen.load([tensor[replicas] for tensor in network.state])
    source = torch.Generator().manual_seed(1)
    x = torch.randn(200, FEATURES, generator=source).to(network.dtype)
    inputs, labels = [x] * chosen.replicas, [torch.randint(CLASSES, (200,), generator=source)] * chosen.replicas
    probe = Probe(chosen, float(chosen.constants["slope_max"]), torch.stack(inputs), torch.stack(labels))
    return probe.activations(chosen, inputs, labels, first=True)[2]


@pytest.mark.parametrize("name", ["sigmoid", "tanh", "relu", "elu", "softplus"])
def test_float32_does_where_samples_are_not_blurred(name):
    network = stacked(name, replicas=2, depth=20, width=64, dtype=torch.float32)
    found, expected = _probed(network), _probed(exact_copy(network))
    for metric, error in FLOAT32.items():
        np.testing.assert_allclose(found[metric], expected[metric], rtol=error, atol=error, err_msg=metric)


def test_blurred_layers_are_resolved_whatever_the_company(monkeypatch):
    network = stacked("sigmoid", replicas=2, depth=20, width=64, dtype=torch.float32)
    network.weights[1][0] *= 30  # samples differ more in this replica
    together, alone = _probed(network), [_probed(network, slice(i, i + 1)) for i in range(2)]
    for metric, values in together.items():
        assert torch.equal(values, torch.cat([one[metric] for one in alone])), metric
    monkeypatch.setattr(probes, "EXACT", [])
    lie = _probed(network)["effective_rank"] / together["effective_rank"]
    assert lie[1, -1] > 2, "float32 would have done: the test shows nothing"


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


@pytest.mark.parametrize("normalisation", ["none", "batch"])
def test_layers_looked_at_together_have_the_numbers_that_they_have_alone(normalisation, monkeypatch):
    """At step 0 and again, when units have died; the first layer and the last have shapes of their own."""
    found = {}
    for at_once in (1, 1_000, 2**30):
        monkeypatch.setitem(probes.AT_ONCE, "cpu", at_once)
        network, (x, y) = stacked("relu", depth=5, normalisation=normalisation), samples_of()
        probe = Probe(network, 1.0, x, y)
        for first in (True, False):
            metrics = probe.activations(network, list(x), list(y), first=first)[2]
            found.setdefault(first, []).append(metrics | probe.gradients(network))
            (network.norms[2].bias if network.norms else network.biases[2]).sub_(2)
        assert any(mask.any() for mask in probe.dead_before)
        found.setdefault("dead", []).append({str(i): mask for i, mask in enumerate(probe.state)})
    for alone, *together in found.values():
        for other in together:
            for name, values in alone.items():
                # The roots of eigenvalues that should be zero are 1e-8 of the largest, and never the same.
                rtol = 1e-6 if name == "effective_rank" else 1e-12
                torch.testing.assert_close(other[name], values, rtol=rtol, atol=1e-14, equal_nan=True)
