"""Layers connected otherwise: the numbers of the multilayer perceptron's own backward pass, and of plain PyTorch."""

import pytest
import torch
import torch.nn.functional as F

from activation_study.activations.activation import from_entry
from activation_study.activations.theory import constants
from activation_study.networks.mlp import StackedMLP
from activation_study.networks.wired import WiredMLP
from activation_study.training.optimisers import Optimiser
from stacks import CLASSES, ENTRIES, FEATURES, batches, factors_of, samples_of

SEEDS = [0, 1, 2]


def _in_turn(layer, x, depth):
    for number in range(1, depth + 2):
        x = layer(number, x)
    return x


def _past(layer, x, depth):
    """Each layer but the first adds to what it was given."""
    x = layer(1, x)
    for number in range(2, depth + 1):
        x = x + layer(number, x)
    return layer(depth + 1, x)


def _of(name, wire=None, **factors):
    activation = from_entry(name, ENTRIES[name])
    arguments = activation, factors_of(**factors), constants(activation), FEATURES, CLASSES, SEEDS
    kinds = {"dtype": torch.float64}
    return StackedMLP(*arguments, **kinds) if wire is None else WiredMLP(wire, *arguments, **kinds)


def _gradients(network, inputs, labels):
    gradients, deltas = {}, {}
    network.draw(3)
    loss = network.loss_and_gradients(
        inputs,
        labels,
        lambda index, gradient: gradients.__setitem__(index, gradient.clone()),
        lambda layer, delta: deltas.__setitem__(layer, delta.clone()),
    )
    return loss, gradients, deltas


@pytest.mark.slow
@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("normalisation", ["none", "batch", "noisy_batch"])
@pytest.mark.parametrize("name", ["relu", "prelu_per_unit", "gelu", "quick_gelu", "own"])
def test_layers_in_turn_are_the_multilayer_perceptron(name, normalisation, centred):
    fast, wired = (
        _of(name, wire, normalisation=normalisation, centred=centred, initial_bias=0.0) for wire in (None, _in_turn)
    )
    inputs, labels = samples_of(samples=13, dtype=torch.float64)
    (loss, gradients, deltas), found = (_gradients(network, inputs, labels) for network in (fast, wired))
    torch.testing.assert_close(found[0], loss, rtol=1e-12, atol=1e-14)
    assert [*found[1]] == sorted(gradients)
    assert sorted(found[2]) == sorted(deltas)
    for index, gradient in gradients.items():
        torch.testing.assert_close(found[1][index], gradient.view_as(found[1][index]), rtol=1e-9, atol=1e-12)
    for layer, delta in deltas.items():
        torch.testing.assert_close(found[2][layer], delta, rtol=1e-9, atol=1e-12)
    seen = [[], []]
    for network, visits in zip((fast, wired), seen, strict=True):
        network.logits(list(inputs), lambda layer, h, x, visits=visits: visits.append((layer, h.clone(), x.clone())))
    for one, other in zip(*seen, strict=True):
        assert one[0] == other[0]
        torch.testing.assert_close(one[1:], other[1:], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("clip", [None, 1.0])
@pytest.mark.parametrize("optimiser", ["sgd", "momentum", "adam"])
def test_skips_train_as_plain_pytorch_does(optimiser, clip):
    network = _of("tanh", _past)
    plain = [[p[r].clone().requires_grad_() for p in network.weights + network.biases] for r in range(len(SEEDS))]
    rates, depth = torch.tensor([0.01, 0.02, 0.05], dtype=torch.float64), network.depth
    rule = Optimiser(optimiser, network.parameters, rates, clip)
    kinds = {
        "sgd": torch.optim.SGD,
        "momentum": lambda parameters, lr: torch.optim.SGD(parameters, lr=lr, momentum=0.9),
        "adam": torch.optim.Adam,
    }
    theirs = [kinds[optimiser](mine, lr=float(rate)) for mine, rate in zip(plain, rates, strict=True)]
    for inputs, labels in batches(len(SEEDS), steps=10):
        rule.begin_step()
        losses = network.loss_and_gradients(inputs, labels, rule.update)
        rule.end_step()
        for replica, (parameters, step) in enumerate(zip(plain, theirs, strict=True)):
            weights, biases = parameters[: depth + 1], parameters[depth + 1 :]
            x = torch.tanh(inputs[replica] @ weights[0] + biases[0])
            for weight, bias in zip(weights[1:-1], biases[1:-1], strict=True):
                x = x + torch.tanh(x @ weight + bias)
            loss = F.cross_entropy(x @ weights[-1] + biases[-1], labels[replica])
            step.zero_grad()
            loss.backward()
            if clip is not None:
                torch.nn.utils.clip_grad_norm_(parameters, clip)
            step.step()
            assert losses[replica].item() == pytest.approx(loss.item(), rel=1e-9)
    for replica, parameters in enumerate(plain):
        for mine, other in zip(network.weights + network.biases, parameters, strict=True):
            torch.testing.assert_close(mine[replica], other.detach(), rtol=1e-9, atol=1e-12)


def test_a_network_like_it_takes_the_same_way():
    network = _of("relu", _past)
    other = network.like(SEEDS[:2], torch.float32)
    other.load([tensor[:2] for tensor in network.state])
    inputs, _ = samples_of(2, dtype=torch.float32)
    expected = network.logits([*inputs.double(), inputs[0].double()])[:2]
    torch.testing.assert_close(other.logits(list(inputs)).double(), expected, rtol=1e-4, atol=1e-4)
