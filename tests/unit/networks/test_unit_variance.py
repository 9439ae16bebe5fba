"""Layer-sequential unit variance, against a loop in plain PyTorch and in the networks of a run."""

import pytest
import torch
from torch import nn

import small
from activation_study.activations.activation import from_entry
from activation_study.activations.theory import constants
from activation_study.networks.initialisation import initial_parameters, unit_variance
from stacks import CLASSES, ENTRIES, FEATURES, factors_of, samples_of, stacked

MODULES = {"relu": nn.ReLU(), "tanh": nn.Tanh(), "silu": nn.SiLU(), "sigmoid": nn.Sigmoid()}


def _spreads(network, inputs):
    """[layer, R], output last."""
    found = []
    logits = network.logits(list(inputs), lambda _, h, x: found.append(h.std((1, 2), correction=0)))
    return torch.stack([*found, logits.std((1, 2), correction=0)])


def _plain(name, seed, inputs):
    """The layers of one network, scaled one after the other as the batch passes through."""
    drawn = initial_parameters(seed, [FEATURES, 17, 17, 17, CLASSES], factors_of(), constants(_activation(name)))
    x, layers = inputs, []
    for weight, _ in drawn:
        layer = nn.Linear(*weight.shape, bias=False, dtype=torch.float64)
        layer.weight.data = weight.T.clone()
        layer.weight.data /= layer(x).detach().var(correction=0).sqrt()
        layers.append(layer)
        x = MODULES[name](layer(x).detach())
    return layers


def _activation(name):
    return from_entry(name, ENTRIES[name])


@pytest.mark.parametrize("name", MODULES)
def test_it_is_the_loop_over_layers(name):
    inputs, _ = samples_of()
    network = stacked(name, initialisation="lsuv")
    unit_variance(network, list(inputs))
    torch.testing.assert_close(_spreads(network, inputs), torch.ones(4, 3, dtype=torch.float64))
    for replica, seed in enumerate(network.seeds):
        for weight, layer in zip(network.weights, _plain(name, seed, inputs[replica]), strict=True):
            torch.testing.assert_close(weight[replica], layer.weight.T)
    assert not any(bias.any() for bias in network.biases)


def test_it_begins_as_the_gain_and_a_replica_is_its_own():
    inputs, _ = samples_of()
    together, alone = (stacked("elu", seeds=seeds, initialisation="lsuv") for seeds in ([0, 1, 2], [1]))
    for weight, gain in zip(together.weights, stacked("elu").weights, strict=True):
        assert torch.equal(weight, gain)
    unit_variance(together, list(inputs))
    unit_variance(alone, [inputs[1]])
    for weight, own in zip(together.weights, alone.weights, strict=True):
        torch.testing.assert_close(weight[1], own[0])


def test_centring_leaves_the_function_and_a_bias_its_size():
    inputs, _ = samples_of()
    raw, centred = (stacked("relu", initialisation="lsuv", initial_bias=-0.3, centred=c) for c in (False, True))
    for network in (raw, centred):
        unit_variance(network, list(inputs))
        torch.testing.assert_close(_spreads(network, inputs), torch.ones(4, 3, dtype=torch.float64))
    torch.testing.assert_close(centred.logits(list(inputs)), raw.logits(list(inputs)))
    torch.testing.assert_close(raw.biases[1], torch.full_like(raw.biases[1], -0.3))


def test_a_dead_layer_and_all_above_it_are_left_alone():
    inputs, _ = samples_of()
    network, before = (stacked("relu", initialisation="lsuv", initial_bias=-50.0) for _ in range(2))
    unit_variance(network, list(inputs))
    for weight, old in list(zip(network.weights, before.weights, strict=True))[1:]:
        assert torch.equal(weight, old)


def test_a_run_scales_by_the_first_batch_of_each_network():
    def started():
        trainer = small.training(small.run({"initialisation": "lsuv", "activation": "tanh"}))
        return next(trainer.phases()).groups

    for group, again in zip(started().values(), started().values(), strict=True):
        inputs, _ = group.pool.gather(group.pool.order(0, 1)[0])
        torch.testing.assert_close(_spreads(group.network, inputs), torch.ones(3, len(group.records)))
        assert all(map(torch.equal, group.network.state, again.network.state))
