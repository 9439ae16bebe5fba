"""Every measurement against numpy or autograd on one network at a time, and against closed forms."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from activation_study.quantities.measures.covariate_shift import covariate_shift
from activation_study.quantities.measures.noise import noise_accuracy, noise_gain, noise_like
from activation_study.quantities.measures.saturation import saturation
from activation_study.quantities.measures.selectivity import selectivity
from activation_study.quantities.measures.sign_agreement import sign_agreement, sign_agreements
from reference import sequential
from stacks import CLASSES, FEATURES, samples_of, stacked, unsettled

NAMES = ["relu", "sigmoid", "prelu", "own"]


def _models(network):
    return [sequential(network, replica).double() for replica in range(network.replicas)]


def _hidden(model, inputs):
    """The activations of every hidden layer as arrays [N, W], in evaluation mode."""
    outputs, x = [], inputs
    for layer in model.eval():
        x = layer(x)
        if not isinstance(layer, nn.Linear | nn.BatchNorm1d):
            outputs.append(x.detach().numpy())
    return outputs


def _linears(model):
    return [layer for layer in model if isinstance(layer, nn.Linear)]


def _unchanged(network, before):
    return all(torch.equal(*pair) for pair in zip(network.state, before, strict=True))


def _copies(network):
    return [tensor.clone() for tensor in network.state]


def _variance(x):
    return x.var(0).sum()


def test_noise_belongs_to_the_seed():
    inputs, _ = samples_of(dtype=torch.float32)
    noise = noise_like(inputs, [7, 8, 7])
    assert noise[0] is noise[2], "one draw for both learning rates of a seed"
    assert not torch.equal(noise[0], noise[1])
    (again,) = noise_like(inputs[:1] + 5, [8])
    assert torch.equal(again, noise[1])
    long = noise_like([torch.empty(20000, 11)], [1])[0]
    assert (long.mean().item(), long.std().item()) == pytest.approx((0, 1), abs=0.01)
    assert long.dtype == torch.float64


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("normalisation", ["none", "batch"])
@pytest.mark.parametrize("name", NAMES)
def test_noise_accuracy_and_gain(name, normalisation, dtype):
    network = unsettled(name, dtype=dtype, normalisation=normalisation)
    inputs, labels = samples_of(dtype=dtype)
    noise, before = noise_like(inputs, network.seeds), _copies(network)
    gains = noise_gain(network, list(inputs), noise, 0.1)
    assert gains.shape == (3, network.depth)
    assert gains.dtype == torch.float64
    for sigma in (0.0, 0.5, 2.0):
        found = noise_accuracy(network, list(inputs), list(labels), noise, sigma)
        for replica, model in enumerate(_models(network)):
            logits = model.eval()(inputs[replica].double() + sigma * noise[replica])
            assert found[replica] == (logits.argmax(1) == labels[replica]).double().mean()
    for replica, model in enumerate(_models(network)):
        u, epsilon = inputs[replica].double(), 0.1 * noise[replica]
        inward = (epsilon.numpy() ** 2).sum(1).mean() / _variance(u.numpy())
        pairs = zip(_hidden(model, u), _hidden(model, u + epsilon), strict=True)
        want = [((there - x) ** 2).sum(1).mean() / _variance(x) / inward for x, there in pairs]
        np.testing.assert_allclose(gains[replica], want, rtol=1e-9)
    assert _unchanged(network, before)


def test_noise_gain_of_linear_layers_in_closed_form():
    """A rotation hands signal and noise on alike; a layer that keeps one axis gives the ratio of that axis."""
    network = stacked("identity", width=FEATURES, replicas=2)
    rotation, _ = torch.linalg.qr(torch.randn(2, FEATURES, FEATURES, dtype=torch.float64))
    for weight in network.weights[:-1]:
        weight.copy_(3 * rotation)
    inputs, _ = samples_of(replicas=2)
    noise = noise_like(inputs, network.seeds)
    np.testing.assert_allclose(noise_gain(network, list(inputs), noise, 0.1), 1, rtol=1e-10)
    network.weights[0].zero_()[:, 0, 0] = 1
    want = [
        (e[:, 0].square().mean() / u[:, 0].var(correction=0) / e.square().mean() * u.var(0, correction=0).mean()).item()
        for u, e in zip(inputs, noise, strict=True)
    ]
    np.testing.assert_allclose(noise_gain(network, list(inputs), noise, 0.1)[:, 0], want, rtol=1e-10)


def test_noise_gain_where_there_is_none():
    network = unsettled("relu")
    network.biases[1][0] -= 1000.0
    inputs, _ = samples_of()
    noise = noise_like(inputs, network.seeds)
    gains = noise_gain(network, list(inputs), noise, 0.1)
    assert gains.isnan().tolist() == [[False, True, True], [False] * 3, [False] * 3]
    assert noise_gain(network, list(inputs), noise, 0.0).isnan().all()
    constant = inputs[:, :1].expand_as(inputs)
    assert noise_gain(network, list(constant), noise, 0.1).isnan().all()


def _selectivity(x, labels):
    x, indices = x - x.min(0), []
    means = np.stack([x[labels == c].mean(0) for c in np.unique(labels)])
    for unit in means.T:
        top = unit.argmax()
        high, rest = unit[top], np.delete(unit, top).mean()
        indices.append((high - rest) / (high + rest) if high > 0 else 0.0)
    return np.mean(indices)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_selectivity(dtype):
    x = torch.randn(3, 60, 9, generator=torch.Generator().manual_seed(0)).to(dtype)
    _, labels = samples_of(samples=60)
    labels[1, labels[1] == 2] = 0  # replica 1 lacks a class, and its largest mean may be anyone's
    x[2, :, 4:] = 0.3
    found = selectivity(x, labels, CLASSES)
    want = [_selectivity(x[r].double().numpy(), labels[r].numpy()) for r in range(3)]
    np.testing.assert_allclose(found, want, rtol=1e-12)
    # Only the place of a unit's activations relative to its minimum counts, and not its scale.
    np.testing.assert_allclose(selectivity(5 * x.double() - 3, labels, CLASSES), want, rtol=1e-6)


def test_selectivity_of_units_that_know_one_class_all_or_nothing():
    labels = torch.arange(20).remainder(4).unsqueeze(0)
    one, half = (labels == 2).double(), (labels < 2).double()
    x = torch.stack([one, half, torch.full_like(one, -7.0)], 2)
    assert selectivity(x[..., :1], labels, 6).item() == 1
    assert selectivity(x[..., 1:2], labels, 6).item() == pytest.approx((1 - 1 / 3) / (1 + 1 / 3))
    assert selectivity(x[..., 2:], labels, 6).item() == 0
    assert selectivity(x, torch.ones_like(labels), 6).isnan().all(), "one class has no other"


def _parameter_names(model, layer):
    """Of all that stands below the linear layer of that number."""
    at = [i for i, part in enumerate(model) if isinstance(part, nn.Linear)][layer - 1]
    return [name for name, _ in model.named_parameters() if int(name.split(".")[0]) < at]


def _covariate_shift(model, inputs, labels, rate, layer):
    def gradients(of):
        loss = nn.functional.cross_entropy(of.train()(inputs), labels)
        return dict(zip(dict(of.named_parameters()), torch.autograd.grad(loss, list(of.parameters())), strict=True))

    before, moved = gradients(model), copy.deepcopy(model)
    for name in _parameter_names(model, layer):
        moved.get_parameter(name).data -= rate * before[name]
    weight = next(n for n, p in model.named_parameters() if p is _linears(model)[layer - 1].weight)
    after = gradients(moved)
    return ((before[weight] - after[weight]).norm() / before[weight].norm()).item()


@pytest.mark.slow
@pytest.mark.parametrize("normalisation", ["none", "batch"])
@pytest.mark.parametrize("name", NAMES)
def test_covariate_shift(name, normalisation):
    network = unsettled(name, normalisation=normalisation, depth=4)
    inputs, labels = samples_of()
    rates, before = torch.tensor([0.001, 0.1, 1.0]), _copies(network)
    found = covariate_shift(network, inputs, labels, rates, [4, 2, 1, 3])
    assert _unchanged(network, before)
    assert found[1].tolist() == [0, 0, 0], "nothing is below the first layer"
    for layer in (2, 3, 4):
        want = [
            _covariate_shift(model, inputs[r], labels[r], rates[r].double(), layer)
            for r, model in enumerate(_models(network))
        ]
        np.testing.assert_allclose(found[layer], want, rtol=1e-7)
    for layer, values in found.items():  # a layer alone is what it is among others
        alone = covariate_shift(network, inputs, labels, rates, [layer])
        np.testing.assert_allclose(alone[layer], values, rtol=1e-12)


def test_covariate_shift_freezes_the_noise():
    network = unsettled("relu", normalisation="noisy_batch")
    inputs, labels = samples_of()
    still = covariate_shift(network, inputs, labels, torch.zeros(3), [2, 3])
    assert all((values == 0).all() for values in still.values()), "no step, no shift"
    rates = torch.full((3,), 0.01)
    first = covariate_shift(network, inputs, labels, rates, [3])
    network.draw(5)
    assert torch.equal(covariate_shift(network, inputs, labels, rates, [3])[3], first[3])


def test_covariate_shift_of_a_layer_without_gradient():
    network = unsettled("relu")
    network.biases[2][1] -= 1000.0
    shift = covariate_shift(network, *samples_of(), torch.ones(3), [2])[2]
    assert shift.isnan().tolist() == [False, True, False]


def _agreement(signs):
    signs = signs[signs != 0]
    return abs(signs.sum()) / len(signs) if len(signs) else np.nan


@pytest.mark.slow
@pytest.mark.parametrize("normalisation", ["none", "batch"])
@pytest.mark.parametrize("name", NAMES)
def test_sign_agreements(name, normalisation):
    network = unsettled(name, normalisation=normalisation)
    inputs, labels = samples_of()
    before = _copies(network)
    found = sign_agreements(network, inputs, labels, (3, 8, 40, 64))
    assert list(found) == [3, 8, 40], "64 samples are not there"
    assert _unchanged(network, before)
    for batch, (neuron, layer_wide) in found.items():
        for replica, model in enumerate(_models(network)):
            logits = model.train()(inputs[replica, :batch])
            nn.functional.cross_entropy(logits, labels[replica, :batch]).backward()
            for i, linear in enumerate(_linears(model)[:-1]):
                signs = np.sign(linear.weight.grad.numpy())  # [fan-out, fan-in]
                assert neuron[replica, i] == pytest.approx(np.nanmean([_agreement(row) for row in signs]))
                assert layer_wide[replica, i] == pytest.approx(_agreement(signs.ravel()))


def test_one_sample_leaves_no_gradient_below_batch_norm():
    found = sign_agreements(unsettled("relu", normalisation="batch"), *samples_of(), (1,))
    assert all(values.isnan().all() for values in found[1])


def test_sign_agreement_in_closed_form():
    gradient = torch.zeros(3, 4, 2, dtype=torch.float64)
    gradient[0, :, 0], gradient[0, :, 1] = 0.1, -7.0  # each neuron's weights agree; the neurons do not
    gradient[1, :3, 0] = torch.tensor([1.0, 1.0, -1.0])  # one zero, and a neuron without gradient
    neuron, layer = sign_agreement(gradient)
    np.testing.assert_allclose(neuron, [1, 1 / 3, np.nan])
    np.testing.assert_allclose(layer, [0, 1 / 3, np.nan])


def test_one_sample_of_a_relu_layer_is_unanimous_neuron_by_neuron():
    network = unsettled("relu", width=64)
    neuron, layer = sign_agreements(network, *samples_of(), (1,))[1]
    assert (neuron[:, 1:] == 1).all()
    assert (layer[:, 1:] < 1).all(), "neurons differ in the sign of their δ"


@pytest.mark.parametrize(("name", "slope_max"), [("sigmoid", 0.25), ("relu", 1.0), ("tanh", 1.0)])
def test_saturation(name, slope_max):
    network = unsettled(name, normalisation="batch", dtype=torch.float32)
    network.norms[0].weight.mul_(4)
    inputs, _ = samples_of(samples=200, dtype=torch.float32)
    found = saturation(network, list(inputs), slope_max)
    for replica, model in enumerate(_models(network)):
        x, flat = inputs[replica, :128].double(), []
        for layer in model.eval():
            if not isinstance(layer, nn.Linear | nn.BatchNorm1d):
                h = x.detach().requires_grad_()
                (slope,) = torch.autograd.grad(layer(h).sum(), h)
                flat.append((slope.abs() < 0.1 * slope_max).double())
            x = layer(x)
        assert found[replica].item() == pytest.approx(torch.cat(flat).mean().item(), abs=2e-4)
    assert 0.01 < found.mean() < 0.99


def test_saturation_of_networks_that_are_dead_or_never_flat():
    dead, folded = unsettled("relu"), unsettled("prelu")
    for bias in dead.biases:
        bias[0] -= 1000.0
    for kernel in folded.kernels:
        kernel.parameters["weight"].fill_(-1)  # φ is |h|
    inputs, _ = samples_of()
    assert saturation(dead, list(inputs), 1.0)[0] == 1
    assert saturation(folded, list(inputs), 1.0).tolist() == [0, 0, 0]


def test_replicas_do_not_depend_on_each_others_places():
    order = [2, 0, 1]
    network = unsettled("tanh", normalisation="batch")
    turned = network.like([network.seeds[i] for i in order])
    turned.load([tensor[order] for tensor in network.state])
    inputs, labels = samples_of()
    rates = torch.tensor([0.01, 0.1, 0.5])

    def measured(network, x, y, rates):
        noise = noise_like(x, network.seeds)
        x_list, y_list = list(x), list(y)
        return [
            noise_accuracy(network, x_list, y_list, noise, 1.0),
            noise_gain(network, x_list, noise, 0.1),
            saturation(network, x_list, 1.0),
            selectivity(x, y, CLASSES),
            covariate_shift(network, x, y, rates, [3])[3],
            *sign_agreements(network, x, y, (8,))[8],
        ]

    pairs = measured(network, inputs, labels, rates), measured(turned, inputs[order], labels[order], rates[order])
    for mine, theirs in zip(*pairs, strict=True):
        np.testing.assert_allclose(theirs, mine[order], rtol=1e-9)
