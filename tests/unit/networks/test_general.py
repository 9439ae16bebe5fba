"""Networks of every family are, replica for replica, what plain PyTorch and autograd give."""

import functools
import math
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from activation_study.activations.activation import from_entry
from activation_study.activations.theory import constants
from activation_study.core.errors import StudyError
from activation_study.networks.architectures import mlp
from activation_study.networks.architectures.transformer import inner
from activation_study.networks.base import architectures, through
from activation_study.networks.initialisation import unit_variance
from activation_study.networks.mlp import StackedMLP
from activation_study.networks.passes import grouped, one_by_one
from activation_study.training.optimisers import Optimiser
from plain_networks import Phi, pairs, plain
from reference import optimiser as plain_optimiser
from stacks import CLASSES, ENTRIES, FEATURES, factors_of, samples_of

SEEDS, BATCH = [0, 1], 9
FAMILIES = {
    "mlp": ("mlp", (), ()),
    "residual mlp": ("residual_mlp", (), ()),
    "series": ("convolutional", (13, 2), (2, 2, 2)),
    "images": ("convolutional", (7, 6, 1), (2, 2, 1)),
    "residual series": ("residual_convolutional", (13, 1), (2, 2, 2)),
    "residual images": ("residual_convolutional", (9, 7, 2), (2, 2, 1)),
    "transformer of series": ("transformer", (13, 2), ()),
    "transformer of images": ("transformer", (7, 6, 1), ()),
    "gated transformer": ("gated_transformer", (13, 1), ()),
}
TRAINED = ["residual mlp", "series", "images", "residual images", "transformer of series", "gated transformer"]
NORMALISATIONS = ["none", "batch", "noisy_batch", "group"]
slow = functools.partial(pytest.param, marks=pytest.mark.slow)


def made(case, name="gelu", seeds=SEEDS, dtype=torch.float64, **factors):
    family, shape, _ = FAMILIES[case]
    activation = from_entry(name, ENTRIES[name])
    given = factors_of(**({"network": family, "width": 12} | factors))
    build = through(mlp.way) if family == "mlp" else architectures()[family].build
    features = math.prod(shape) if shape else FEATURES
    return build(activation, given, constants(activation), features, CLASSES, seeds, shape=shape, dtype=dtype)


def batch_of(network, seed=0, samples=BATCH):
    source = torch.Generator().manual_seed(seed)
    size = network.replicas, samples
    inputs = torch.randn(*size, network.features, generator=source, dtype=torch.float64)
    return inputs.to(network.dtype), torch.randint(network.classes, size, generator=source)


def plain_of(network, case):
    return [plain(network, replica, FAMILIES[case][2]) for replica in range(network.replicas)]


def found_by(network, inputs, labels):
    """Loss, gradients by index, and δ by layer."""
    gradients, deltas = {}, {}
    loss = network.loss_and_gradients(
        inputs,
        labels,
        lambda i, g: gradients.update({i: g.clone()}),
        lambda n, delta: deltas.update({n: delta.clone()}),
    )
    return loss, gradients, deltas


def close(mine, theirs):
    torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-11)


@pytest.mark.slow
@pytest.mark.parametrize("normalisation", NORMALISATIONS)
@pytest.mark.parametrize("kind", ["sgd", "momentum", "adam"])
@pytest.mark.parametrize("case", TRAINED)
def test_ten_steps_equal_plain_pytorch(case, kind, normalisation):
    network = made(case, normalisation=normalisation, optimiser=kind)
    models, rates = plain_of(network, case), [0.003, 0.01]
    theirs = [plain_optimiser(kind, model.parameters(), rate) for model, rate in zip(models, rates, strict=True)]
    rule = Optimiser(kind, network.parameters, torch.tensor(rates, dtype=torch.float64))
    for step in range(10):
        inputs, labels = batch_of(network, step)
        network.draw(step)
        rule.begin_step()
        losses = network.loss_and_gradients(inputs, labels, rule.update)
        rule.end_step()
        for replica, (model, own) in enumerate(zip(models, theirs, strict=True)):
            own.zero_grad()
            loss = F.cross_entropy(model(inputs[replica]), labels[replica])
            loss.backward()
            own.step()
            assert losses[replica].item() == pytest.approx(loss.item(), rel=1e-9)
    for replica, model in enumerate(models):
        # What changes nothing (biases before batch norm, of attention's keys) has gradients of rounding, of which Adam
        # makes steps.
        if kind != "adam":
            for parameter, mine in pairs(model, network, replica):
                close(mine, parameter.detach())
        inputs, labels = batch_of(network, 99)
        loss, _ = network.evaluate(list(inputs), list(labels))
        expected = F.cross_entropy(model.eval()(inputs[replica]), labels[replica]).item()
        assert loss[replica].item() == pytest.approx(expected, rel=1e-7 if kind == "adam" else 1e-9)
    before = made(case, normalisation=normalisation)
    for layer in network.layers:
        moved = (network.parameters[layer.weight] - before.parameters[layer.weight]).abs().amax((1, 2))
        assert (moved > 1e-6).all(), "nothing was learned: the comparison would be of frozen networks"


@pytest.mark.parametrize("normalisation", ["none", slow("batch"), slow("group")])
@pytest.mark.parametrize("case", FAMILIES)
@pytest.mark.parametrize("name", ["gelu", slow("prelu_per_unit"), slow("own")])
def test_deltas_and_activations_are_those_of_hooks(name, case, normalisation):
    network = made(case, name, normalisation=normalisation)
    models, (inputs, labels) = plain_of(network, case), batch_of(network)
    loss, gradients, deltas = found_by(network, inputs, labels)
    assert [*deltas] == [3, 2, 1]
    assert [gradients[i].shape for i in sorted(gradients)] == [p.shape for p in network.parameters]
    seen = {}
    network.logits(list(inputs), lambda layer, h, x: seen.update({layer: (h.clone(), x.clone())}))
    for replica, model in enumerate(models):
        F.cross_entropy(model(inputs[replica]), labels[replica]).backward()
        sites = [module for module in model.modules() if isinstance(module, Phi)]
        for number, (layer, site) in enumerate(zip(network.layers, sites, strict=False), 1):
            expected = site.h.grad.movedim(1, -1).flatten(1, -2) if site.h.dim() > 2 else site.h.grad
            close(deltas[number][replica], expected)
            assert expected.shape[1:-1] in ((), (layer.positions,))
        for parameter, mine in pairs(
            model, SimpleNamespace(parameters=[g for _, g in sorted(gradients.items())]), replica
        ):
            close(mine, parameter.grad)
        model.eval()(inputs[replica])
        for number, site in enumerate(sites, 1):
            for mine, theirs in zip(seen[number], (site.h, site.phi(site.h)), strict=True):
                close(mine[replica], theirs.movedim(1, -1).flatten(1, -2) if theirs.dim() > 2 else theirs)
    assert torch.isfinite(loss).all()


@pytest.mark.slow
@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("normalisation", ["none", "batch", "noisy_batch"])
@pytest.mark.parametrize("name", ["relu", "prelu_per_unit", "gelu", "quick_gelu", "own", "rrelu"])
def test_layer_after_layer_is_the_multilayer_perceptron(name, normalisation, centred):
    activation = from_entry(name, ENTRIES.get(name, {"class": "RReLU"}))
    factors = factors_of(normalisation=normalisation, centred=centred, initialisation="edge_of_chaos")
    given = activation, factors, constants(activation), FEATURES, CLASSES, SEEDS
    fast = StackedMLP(*given, dtype=torch.float64)
    network = through(mlp.way)(*given, dtype=torch.float64)
    assert [layer.units for layer in network.layers] == [layer.units for layer in fast.layers]
    inputs, labels = samples_of(2, samples=13)
    for each in (fast, network):
        each.draw(3)
    (loss, gradients, deltas), (other, found, also) = (found_by(each, inputs, labels) for each in (fast, network))
    torch.testing.assert_close(other, loss, rtol=1e-12, atol=1e-14)
    places = _places(fast, network)
    assert sorted(places) == sorted(found) == sorted(gradients)
    for index, place in places.items():
        torch.testing.assert_close(network.parameters[place], fast.parameters[index], rtol=0, atol=0)
        torch.testing.assert_close(found[place], gradients[index].view_as(found[place]), rtol=1e-9, atol=1e-12)
        assert network.owners[place] == fast.owners[index]
    for layer, delta in deltas.items():
        torch.testing.assert_close(also[layer], delta, rtol=1e-9, atol=1e-12)
    seen = [[], []]
    for each, visits in zip((fast, network), seen, strict=True):
        each.logits(list(inputs), lambda layer, h, x, visits=visits: visits.append((layer, h.clone(), x.clone())))
    for one, other in zip(*seen, strict=True):
        assert one[0] == other[0]
        torch.testing.assert_close(one[1:], other[1:], rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(network.slope(*one[:2]), fast.slope(*one[:2]), rtol=0, atol=0)


def _places(fast, network):
    """Where the parameters of the multilayer perceptron are among those of the same layers, one by one."""
    count = fast.depth + 1
    places = {i: layer.weight for i, layer in enumerate(network.layers)}
    places |= {count + i: layer.weight + 1 for i, layer in enumerate(network.layers)}
    return places | {i: i for i in range(2 * count, len(fast.parameters))}  # those of sites


@pytest.mark.parametrize("case", ["residual mlp", "images", slow("residual series"), slow("gated transformer")])
def test_a_replica_does_not_depend_on_the_others(case):
    together = made(case, "prelu_per_unit", seeds=[3, 4, 5], normalisation="batch")
    alone = made(case, "prelu_per_unit", seeds=[5], normalisation="batch")
    inputs, labels = batch_of(together)
    (loss, gradients, _), (own, mine, _) = (
        found_by(network, *(t[-network.replicas :] for t in (inputs, labels))) for network in (together, alone)
    )
    close(own, loss[-1:])
    for index, gradient in mine.items():
        close(gradient, gradients[index][-1:])


@pytest.mark.parametrize("case", ["residual mlp", "residual images", "transformer of series"])
def test_a_network_like_it_goes_on_from_its_state(case):
    network = made(case, "prelu", normalisation="batch")
    found_by(network, *batch_of(network))  # which moves the running statistics
    other = network.like([1], torch.float32)
    other.load([tensor[1:] for tensor in network.state])
    inputs, _ = batch_of(network, 1)
    torch.testing.assert_close(
        other.logits([inputs[1].float()]).double(), network.logits(list(inputs))[1:], rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("stride", [1, 2])
def test_convolutions_in_groups_are_those_one_by_one(stride):
    source = torch.Generator().manual_seed(0)
    images, kernels, biases = (
        torch.randn(shape, generator=source, dtype=torch.float64)
        for shape in ((3, 4, 5, 7, 6), (3, 8, 5, 3, 3), (3, 8))
    )
    together = grouped(images, kernels, biases, stride=stride, padding=1)
    close(together, one_by_one(images, kernels, biases, stride=stride, padding=1))
    close(together[1].movedim(-1, 1), F.conv2d(images[1], kernels[1], biases[1], stride=stride, padding=1))


@pytest.mark.parametrize("case", FAMILIES)
def test_layers_have_unit_variance_where_lsuv_is_asked_for(case):
    network = made(case, "silu", initialisation="lsuv")
    inputs, _ = batch_of(network, samples=40)
    unit_variance(network, list(inputs))
    found = []
    logits = network.logits(list(inputs), lambda _, h, x: found.append(h.flatten(1).std(1, correction=0)))
    spreads = torch.stack([*found, logits.flatten(1).std(1, correction=0)])
    torch.testing.assert_close(spreads, torch.ones_like(spreads))


def test_a_way_of_one_s_own_trains_as_plain_pytorch_does():
    def skips(net, x):
        x = net.activate(net.linear(x, net.width))
        for _ in range(net.depth - 1):
            x = x + net.activate(net.linear(x, net.width))
        return net.linear(x, net.classes)

    activation = from_entry("tanh", ENTRIES["tanh"])
    given = activation, factors_of(), constants(activation), FEATURES, CLASSES, SEEDS
    network = through(skips)(*given, dtype=torch.float64)
    inputs, labels = samples_of(2, samples=13)
    loss, gradients, _ = found_by(network, inputs, labels)
    for replica in range(2):
        leaves = [p[replica].clone().requires_grad_() for p in network.parameters]
        (first, bias), *rest = zip(leaves[::2], leaves[1::2], strict=True)
        x = torch.tanh(inputs[replica] @ first + bias)
        for weight, bias in rest[:-1]:
            x = x + torch.tanh(x @ weight + bias)
        expected = F.cross_entropy(x @ rest[-1][0] + rest[-1][1], labels[replica])
        close(loss[replica], expected.detach())
        for index, gradient in enumerate(torch.autograd.grad(expected, leaves)):
            close(gradients[index][replica], gradient)


@pytest.mark.parametrize("case", FAMILIES)
def test_what_an_architecture_says_of_its_size(case):
    network = made(case, width=32, depth=6)
    size = architectures()[FAMILIES[case][0]].size(network.factors, network.features)
    kept = sum(layer.units * layer.positions for layer in network.layers[:-1])
    assert network.parameter_count <= 1.2 * size.parameters
    assert kept <= size.activations
    if "series" not in case:  # whose windows are smaller than is said
        assert size.parameters <= 1.2 * network.parameter_count


@pytest.mark.parametrize("width", [32, 64, 128])
def test_gates_take_no_more_parameters(width):
    plain_count, gated = (
        made(case, width=width).parameter_count for case in ("transformer of series", "gated transformer")
    )
    assert inner(width, False) == 4 * width
    assert gated == pytest.approx(plain_count, rel=0.03)


def test_branches_begin_smaller_the_deeper_the_network():
    shallow, deep = (made("residual mlp", depth=depth, width=64) for depth in (1, 16))
    ends = [network.parameters[network.layers[0].weight + 2] for network in (shallow, deep)]
    close(ends[0], 4 * ends[1])


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: made_of("convolutional"), r"^network: convolutional needs series or images, and .* any have no shape"),
        (lambda: made_of("transformer"), r"^network: transformer needs series or images"),
        (lambda: made("transformer of series", width=18), r"^width: 18 is no multiple of 4, the heads of transformer"),
        (lambda: made("images", centred=True), r"^centred: true needs a linear layer .* convolutional has not"),
        (lambda: made("gated transformer", centred=True), r"^centred: true needs .* gated_transformer has not"),
    ],
)
def test_what_cannot_be_is_one_line(build, message):
    with pytest.raises(StudyError, match=message) as error:
        build()
    assert "\n" not in str(error.value)


def made_of(family):
    activation = from_entry("relu", ENTRIES["relu"])
    given = activation, factors_of(network=family, width=12), constants(activation), FEATURES, CLASSES, SEEDS
    return architectures()[family].build(*given, shape=(), dtype=torch.float64, device="cpu")
