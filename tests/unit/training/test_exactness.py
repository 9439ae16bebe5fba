"""Every activation × normalisation × optimiser, for 1, 3 and 8 replicas: fifty steps in float64 are those of autograd.

The reference is one nn.Sequential per replica, differentiated by autograd and updated by torch.optim. Where a network
draws noise, the reference is given the same draws; that they have the law they should is tested elsewhere.
"""

import pytest
import torch
from torch import nn

from activation_study.activations.activation import from_entry
from activation_study.activations.theory import constants
from activation_study.networks.mlp import StackedMLP
from activation_study.training.optimisers import Optimiser
from reference import Shifted, optimiser, sequential
from stacks import ENTRIES, factors_of

NOISY = {
    "rrelu": {"class": "RReLU"},
    "rrelu_article": {"class": "RReLU", "lower": 0.0, "upper": 1.0},
    "rrelu_paper": {"module": "activation_study.activations:PaperRReLU"},
}
ALL = ENTRIES | NOISY
FEATURES, CLASSES, BATCH, STEPS = 11, 5, 12, 50
REPLICAS = 8
RATES = torch.logspace(-3, -2, REPLICAS, dtype=torch.float64)


class WithNoise(nn.Module):
    """A layer of the reference with the draws of one step, which ``draw`` sets."""

    def __init__(self, layer, apply):
        super().__init__()
        self.layer, self.apply_noise, self.noise = layer, apply, None

    def forward(self, x):
        return self.apply_noise(self.layer, x, self.noise)


def _sloped(layer, x, slope):
    return torch.where(x > 0, x, slope * x)


def _scaled_and_shifted(norm, x, noise):
    scale, shift = noise
    return norm(x) * scale + shift


def _network(name, replicas, width, **factors):
    activation = from_entry(name, ALL[name])
    seeds = list(range(replicas))
    factors = factors_of(**factors, width=width)
    return StackedMLP(activation, factors, constants(activation), FEATURES, CLASSES, seeds, dtype=torch.float64)


def _batches():
    source = torch.Generator().manual_seed(0)
    for _ in range(STEPS):
        inputs = torch.randn(REPLICAS, BATCH, FEATURES, generator=source, dtype=torch.float64)
        yield inputs, torch.randint(CLASSES, (REPLICAS, BATCH), generator=source)


def _train_stacked(network, kind):
    """Losses [steps, R]."""
    replicas, losses = network.replicas, []
    rule = Optimiser(kind, network.parameters, RATES[:replicas], network.factors.clip)
    for step, (inputs, labels) in enumerate(_batches()):
        network.draw(step)
        rule.begin_step()
        losses.append(network.loss_and_gradients(inputs[:replicas].contiguous(), labels[:replicas], rule.update))
        rule.end_step()
    return torch.stack(losses)


def _reference(network, replica, noisy_norms, noisy_slopes):
    """The replica as nn.Sequential, and its places for noise: (layer, module)."""
    model, norms, slopes, layer = sequential(network, replica), [], [], -1
    for at, module in enumerate(model):
        layer += isinstance(module, nn.Linear)
        if noisy_norms and isinstance(module, nn.BatchNorm1d):
            model[at] = WithNoise(module, _scaled_and_shifted)
            norms.append((layer, model[at]))
        elif noisy_slopes and isinstance(module, Shifted):
            module.activation = WithNoise(None, _sloped)
            slopes.append((layer, module.activation))
    assert (len(norms), len(slopes)) == (network.depth * noisy_norms, network.depth * noisy_slopes)
    return model, norms, slopes


def _draw(network, references):
    """Give the references of all replicas the noise that the network draws at its step."""
    like = torch.empty(network.replicas, BATCH, network.width, dtype=torch.float64)
    for places, draw in (
        ([norms for _, norms, _ in references], lambda layer: torch.stack(network.norms[layer]._noise(like), 1)),
        ([slopes for _, _, slopes in references], lambda layer: network.kernels[layer]._excess(like) + 1),
    ):
        for same_layer in zip(*places, strict=True):
            noise = draw(same_layer[0][0])
            for replica, (_, module) in enumerate(same_layer):
                module.noise = noise[replica]


def _train_reference(network, kind, noisy_norms, noisy_slopes):
    """Losses [steps, R] and the trained models."""
    references = [_reference(network, replica, noisy_norms, noisy_slopes) for replica in range(network.replicas)]
    models = [model.train() for model, *_ in references]
    rules = [optimiser(kind, model.parameters(), rate) for model, rate in zip(models, RATES.tolist(), strict=False)]
    losses, clip, norms = torch.empty(STEPS, network.replicas, dtype=torch.float64), network.factors.clip, []
    for step, (inputs, labels) in enumerate(_batches()):
        network.draw(step)
        _draw(network, references)
        for replica, (model, rule) in enumerate(zip(models, rules, strict=True)):
            rule.zero_grad()
            loss = nn.functional.cross_entropy(model(inputs[replica]), labels[replica])
            loss.backward()
            if clip is not None:
                norms.append(nn.utils.clip_grad_norm_(model.parameters(), clip))
            rule.step()
            losses[step, replica] = loss.item()
    assert clip is None or STEPS < sum(norm > clip for norm in norms) < len(norms) - STEPS, "one of both is not tried"
    return losses, models


def _assert_equal(name, normalisation, kind, width, replicas, clip=None):
    """Replica r of every stack is replica r of the reference, whatever stands beside it."""
    noise = normalisation == "noisy_batch", name in NOISY
    start = _network(name, REPLICAS, width, normalisation=normalisation, optimiser=kind, clip=clip)
    expected, models = _train_reference(start, kind, *noise)
    assert expected.isfinite().all()
    for count in replicas:
        network = _network(name, count, width, normalisation=normalisation, optimiser=kind, clip=clip)
        losses = _train_stacked(network, kind)
        torch.testing.assert_close(losses, expected[:, :count], rtol=1e-9, atol=0)
        for replica in range(count):
            linears = [module for module in models[replica] if isinstance(module, nn.Linear)]
            for weight, linear in zip(network.weights, linears, strict=True):
                torch.testing.assert_close(weight[replica], linear.weight.data.t(), rtol=1e-9, atol=1e-11)
    moved = (network.weights[0] - start.weights[0][:count]).abs().amax((1, 2))
    assert (moved > 1e-5).all(), "nothing was learned: the comparison would be of frozen networks"


@pytest.mark.slow
@pytest.mark.parametrize("normalisation", ["none", "batch", "noisy_batch"])
@pytest.mark.parametrize("kind", ["sgd", "momentum", "adam"])
@pytest.mark.parametrize("name", ALL)
def test_fifty_steps_equal_autograd(name, kind, normalisation):
    _assert_equal(name, normalisation, kind, 7, (1, 3, REPLICAS))


@pytest.mark.slow
@pytest.mark.parametrize("normalisation", ["none", "batch"])
@pytest.mark.parametrize("kind", ["sgd", "momentum", "adam"])
@pytest.mark.parametrize("name", ["prelu", "own"])
def test_clipping_is_that_of_pytorch(name, kind, normalisation):
    _assert_equal(name, normalisation, kind, 7, (1, 3, REPLICAS), clip=1.6)


@pytest.mark.slow
@pytest.mark.parametrize("width", [1, 2, 5, 16, 33])
@pytest.mark.parametrize(("name", "normalisation"), [("elu", "none"), ("rrelu", "noisy_batch")])
def test_any_width_will_do(name, normalisation, width):
    _assert_equal(name, normalisation, "momentum", width, (3,))


def test_noise_that_is_not_the_networks_own_is_noticed():
    """Otherwise the comparison would not see the noise at all."""
    start = _network("rrelu", 1, 7, normalisation="noisy_batch")
    right, _ = _train_reference(start, "momentum", True, True)
    for norms, slopes in ((False, True), (True, False)):
        wrong, _ = _train_reference(start, "momentum", norms, slopes)
        assert not torch.isclose(wrong, right, rtol=1e-3).all()
