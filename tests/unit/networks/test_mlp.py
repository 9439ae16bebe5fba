"""The batched networks are, replica for replica, what nn.Sequential and autograd give."""

import functools

import pytest
import torch
from torch import nn

from activation_study.training.optimisers import Optimiser
from reference import sequential, train
from stacks import CLASSES, ENTRIES, FEATURES, batches, stacked

slow = functools.partial(pytest.param, marks=pytest.mark.slow)


def train_stacked(network, rates):
    rule, losses = (
        Optimiser(network.factors.optimiser, network.parameters, torch.tensor(rates, dtype=torch.float64)),
        [],
    )
    for step, (inputs, labels) in enumerate(batches(network.replicas)):
        network.draw(step)
        rule.begin_step()
        losses.append(network.loss_and_gradients(inputs, labels, rule.update).clone())
        rule.end_step()
    return torch.stack(losses)


@pytest.mark.slow
@pytest.mark.parametrize("normalisation", ["none", slow("batch")])
@pytest.mark.parametrize("kind", [slow("sgd"), "momentum", slow("adam")])
@pytest.mark.parametrize("name", ENTRIES)
def test_fifty_steps_equal_sequential_autograd(name, kind, normalisation):
    rates = [0.001, 0.003, 0.01]
    network = stacked(name, normalisation=normalisation, optimiser=kind)
    models = [sequential(network, replica) for replica in range(3)]
    losses = train_stacked(network, rates)
    # Batch norm cancels the biases before it; Adam makes steps of their gradients' rounding, seen in running means.
    atol = 1e-8 if kind == "adam" and normalisation == "batch" else 1e-11
    for replica, (model, rate) in enumerate(zip(models, rates, strict=True)):
        mine = [(x[replica], y[replica]) for x, y in batches(3)]
        expected = torch.tensor(train(model, kind, rate, mine), dtype=torch.float64)
        torch.testing.assert_close(losses[:, replica], expected, rtol=1e-9, atol=0)
        after = sequential(network, replica)
        for layer, (got, want) in enumerate(zip(after, model, strict=True)):
            for key, value in want.state_dict().items():
                cancelled = key == "bias" and isinstance(got, nn.Linear) and layer < len(model) - 1
                if key != "num_batches_tracked" and not (network.norms and cancelled):
                    torch.testing.assert_close(got.state_dict()[key], value, rtol=1e-9, atol=atol)
    moved = (network.weights[0] - stacked(name).weights[0]).abs().amax((1, 2))
    assert (moved > 1e-5).all(), "nothing was learned: the comparison would be of frozen networks"


@pytest.mark.parametrize("replicas", [1, 3, 8])
@pytest.mark.parametrize("width", [7, 16])
def test_a_replica_does_not_depend_on_the_others(replicas, width):
    together = stacked("elu", replicas, width=width)
    losses = train_stacked(together, [0.01] * replicas)
    last = stacked("elu", seeds=[replicas - 1], width=width)
    rule = Optimiser("momentum", last.parameters, torch.tensor([0.01], dtype=torch.float64))
    for step, (inputs, labels) in enumerate(batches(replicas)):
        rule.begin_step()
        loss = last.loss_and_gradients(inputs[-1:], labels[-1:], rule.update)
        rule.end_step()
        torch.testing.assert_close(loss, losses[step, -1:], rtol=1e-9, atol=0)


def test_evaluation_equals_sequential_in_evaluation_mode():
    network = stacked("gelu", normalisation="batch")
    train_stacked(network, [0.01] * 3)
    source = torch.Generator().manual_seed(1)
    inputs = [torch.randn(20, FEATURES, generator=source, dtype=torch.float64) for _ in range(3)]
    labels = [torch.randint(CLASSES, (20,), generator=source) for _ in range(3)]
    loss, accuracy = network.evaluate(inputs, labels)
    for replica in range(3):
        logits = sequential(network, replica).eval()(inputs[replica])
        torch.testing.assert_close(loss[replica], nn.functional.cross_entropy(logits, labels[replica]))
        assert accuracy[replica] == (logits.argmax(1) == labels[replica]).double().mean()


def test_centring_leaves_the_initial_function_and_deltas_alone():
    plain, centred = stacked("relu"), stacked("relu", centred=True)
    inputs, labels = next(batches(3))
    deltas = {}
    for key, network in (("plain", plain), ("centred", centred)):
        found = deltas.setdefault(key, {})
        network.loss_and_gradients(
            inputs, labels, lambda index, g: None, lambda layer, delta, f=found: f.update({layer: delta.clone()})
        )
    for layer in (1, 2, 3):
        torch.testing.assert_close(deltas["centred"][layer], deltas["plain"][layer], rtol=1e-9, atol=1e-15)
    activations = []
    centred.logits(list(inputs), lambda layer, h, x: activations.append(x.clone()))
    assert activations[0].min() == pytest.approx(-plain.constants["mean"])


def test_pairing_shares_the_standard_draws_across_activations():
    relu, tanh = stacked("relu"), stacked("tanh")
    for layer in range(1, 4):
        ratio = relu.weights[layer] / tanh.weights[layer]
        torch.testing.assert_close(ratio, torch.full_like(ratio, relu.constants["gain"] / tanh.constants["gain"]))
    torch.testing.assert_close(relu.weights[0], tanh.weights[0])
