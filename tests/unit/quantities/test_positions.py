"""Where units are at several positions of a sample: quantities count a position as a sample, or the map as one."""

import itertools

import torch
import torch.nn.functional as F

from activation_study.activations.activation import from_entry
from activation_study.activations.theory import constants
from activation_study.networks.base import architectures
from activation_study.quantities.base import Moment
from activation_study.quantities.measures.covariate_shift import covariate_shift
from activation_study.quantities.measures.noise import noise_gain, noise_like
from activation_study.quantities.measures.saturation import saturation
from activation_study.quantities.measures.selectivity import DECLARED, selectivity
from activation_study.quantities.measures.sign_agreement import sign_agreements
from activation_study.quantities.probe import Probe
from activation_study.quantities.views import rows_of
from plain_networks import Phi, plain
from stacks import ENTRIES, factors_of

SHAPE, STRIDES, SAMPLES, CLASSES = (7, 6, 1), (2, 2, 1), 30, 4


def _network(name="relu"):
    activation = from_entry(name, ENTRIES[name])
    factors = factors_of(network="convolutional", width=9, initial_bias=-0.5)
    given = activation, factors, constants(activation), 42, CLASSES, [0, 1]
    return architectures()["convolutional"].build(*given, shape=SHAPE, dtype=torch.float64, device="cpu")


def _samples():
    source = torch.Generator().manual_seed(0)
    inputs = torch.randn(2, SAMPLES, 42, generator=source, dtype=torch.float64)
    return inputs, torch.randint(CLASSES, (2, SAMPLES), generator=source)


def _sites(network, replica, inputs):
    """What plain PyTorch gives of each activation, channels last: [layer] → (h, x) [N, positions, units]."""
    model = plain(network, replica, STRIDES)
    model(inputs)
    sites = [module for module in model.modules() if isinstance(module, Phi)]
    return [[t.detach().movedim(1, -1).flatten(1, -2) for t in (site.h, site.phi(site.h))] for site in sites]


def test_the_same_few_positions_of_every_sample_enter():
    x = torch.arange(2 * 3 * 100 * 4).view(2, 3, 100, 4)
    rows = rows_of(x).view(2, 3, 16, 4)
    places = (rows[0, 0, :, 0] // 4).tolist()
    assert places[0] == 0
    assert places[-1] == 99
    assert all(6 <= after - before <= 7 for before, after in itertools.pairwise(places))
    torch.testing.assert_close(rows, x[:, :, places])
    torch.testing.assert_close(rows_of(x[:, :, :9]), x[:, :, :9].flatten(1, 2))
    torch.testing.assert_close(rows_of(x[:, :, 0]), x[:, :, 0])


def test_activation_metrics_are_over_samples_and_positions():
    network, (inputs, labels) = _network(), _samples()
    probe = Probe(network, 1.0, inputs, labels)
    _, _, metrics = probe.activations(network, list(inputs), list(labels), first=True)
    for replica in range(2):
        for layer, (h, x) in enumerate(_sites(network, replica, inputs[replica])):
            assert h.shape[1] <= 16
            dead = (h <= 0).flatten(0, 1).all(0).double().mean()
            expected = {
                "dead": dead,
                "mean": x.mean(),
                "sd": x.std(correction=0),
                "zero_fraction": (x == 0).double().mean(),
                "preactivation_mean": h.mean(),
                "preactivation_sd": h.std(correction=0),
                "dormant_0": (x == 0).flatten(0, 1).all(0).double().mean(),
            }
            for name, value in expected.items():
                torch.testing.assert_close(metrics[name][replica, layer], value, rtol=1e-9, atol=1e-12, msg=name)
    assert metrics["dead"].remainder(1).any(), "a comparison of nothing"


def test_a_gradient_is_a_sample_s_whole_map():
    network, (inputs, labels) = _network("gelu"), _samples()
    metrics = Probe(network, 1.0, inputs, labels).gradients(network)
    for replica in range(2):
        model, squares = plain(network, replica, STRIDES), []
        for x, y in zip(inputs[replica], labels[replica], strict=True):
            F.cross_entropy(model(x[None]), y[None]).backward()
            sites = [module for module in model.modules() if isinstance(module, Phi)]
            squares.append([site.h.grad.square().sum() for site in sites])
        expected = torch.tensor(squares).mean(0).sqrt().log10()
        torch.testing.assert_close(metrics["gradient_norm_log10"][replica, :3], expected.double(), rtol=1e-6, atol=1e-6)
        model.zero_grad()
        F.cross_entropy(model(inputs[replica]), labels[replica]).backward()
        convolutions = [layer[0] for layer in model.layers]
        norms = torch.stack([c.weight.grad.norm().log10() for c in convolutions])
        torch.testing.assert_close(metrics["weight_gradient_norm_log10"][replica, :3], norms, rtol=1e-9, atol=1e-9)


def test_noise_passes_through_whole_maps():
    network, (inputs, _) = _network("gelu"), _samples()
    noise = noise_like(list(inputs), network.seeds)
    gains = noise_gain(network, list(inputs), noise, 0.1)
    for replica in range(2):
        clean = inputs[replica]
        noisy = clean + 0.1 * noise[replica]
        power = (noisy - clean).square().sum(1).mean() / clean.var(0, correction=0).sum()
        both = zip(_sites(network, replica, clean), _sites(network, replica, noisy), strict=True)
        for layer, ((_, x), (_, moved)) in enumerate(both):
            ratio = (moved - x).square().sum((1, 2)).mean() / x.var(0, correction=0).sum()
            torch.testing.assert_close(gains[replica, layer], ratio / power, rtol=1e-9, atol=0)


def test_saturation_and_selectivity_of_channels():
    network, (inputs, labels) = _network("tanh"), _samples()
    found = saturation(network, list(inputs), 1.0)
    (measurement,) = DECLARED
    taken = list(measurement.take(Moment(network, torch.ones(2), list(inputs), list(labels))))
    for replica in range(2):
        sites = _sites(network, replica, inputs[replica])
        flat = torch.stack([((1 - x**2) < 0.1).double().mean() for _, x in sites]).mean()
        torch.testing.assert_close(found[replica], flat)
        for (_, layer, _, values), (_, x) in zip(taken, sites, strict=True):
            expected = selectivity(x.mean(1)[None], labels[replica][None], CLASSES)[0]
            torch.testing.assert_close(values[replica], expected)
            assert layer <= 3


def test_what_lies_below_a_layer_moves_and_nothing_else():
    network, (inputs, labels) = _network("gelu"), _samples()
    rates = torch.tensor([0.1, 0.5], dtype=torch.float64)
    shifts = covariate_shift(network, inputs, labels, rates, [1, 2, 3])
    for replica in range(2):
        for layer in (1, 2, 3):
            model = plain(network, replica, STRIDES)
            weight = model.layers[layer - 1][0].weight

            def gradient(model=model, weight=weight, replica=replica):
                model.zero_grad()
                F.cross_entropy(model(inputs[replica]), labels[replica]).backward()
                return weight.grad.clone()

            before = gradient()
            with torch.no_grad():
                for below in model.layers[: layer - 1]:
                    for parameter in below.parameters():
                        parameter -= rates[replica] * parameter.grad
            expected = (gradient() - before).norm() / before.norm()
            torch.testing.assert_close(shifts[layer][replica], expected, rtol=1e-7, atol=1e-12)


def test_signs_of_the_windows_of_a_channel():
    network, (inputs, labels) = _network("gelu"), _samples()
    neurons, _ = sign_agreements(network, inputs, labels, [8])[8]
    model = plain(network, 1, STRIDES)
    F.cross_entropy(model(inputs[1, :8]), labels[1, :8]).backward()
    signs = model.layers[1][0].weight.grad.flatten(1).sign()
    expected = signs.sum(1).abs() / signs.abs().sum(1)
    torch.testing.assert_close(neurons[1, 1], expected.nanmean())
