"""Modules of PyTorch as networks: one's own, and torchvision's with other activations, against plain training."""

import functools

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision import models

import own_networks
from activation_study.activations.activation import from_entry
from activation_study.activations.theory import constants
from activation_study.core.errors import StudyError
from activation_study.networks.initialisation import unit_variance
from activation_study.networks.modules import ModuleNetwork
from activation_study.training.optimisers import Optimiser
from reference import optimiser as plain_optimiser
from stacks import CLASSES, ENTRIES, factors_of

SHAPE, SEEDS, WIDTH = (6, 5, 2), [0, 1], 7
OWN = {"module": "own_networks:residual"}
RESNET = {"class": "torchvision.models.resnet18", "replace": "ReLU"}


def made(entry=OWN, name="gelu", seeds=SEEDS, shape=SHAPE, dtype=torch.float64, **factors):
    given = factors_of(**({"network": "mine", "depth": 6, "width": WIDTH, "initialisation": "torch_default"} | factors))
    activation = from_entry(name, ENTRIES[name])
    features = torch.Size(shape).numel()
    return ModuleNetwork(
        entry, activation, given, constants(activation), features, CLASSES, seeds, shape=shape, dtype=dtype
    )


def batch_of(network, seed=0, samples=8):
    source = torch.Generator().manual_seed(seed)
    size = network.replicas, samples
    inputs = torch.randn(*size, network.features, generator=source, dtype=torch.float64)
    return inputs.to(network.dtype), torch.randint(CLASSES, size, generator=source)


def images(inputs):
    return inputs.view(-1, *SHAPE).permute(0, 3, 1, 2)


def plain_of(network, replica, activation=nn.GELU):
    model = own_networks.residual(activation, 6, WIDTH, (2, 6, 5), CLASSES).double()
    left = iter(network.parameters)
    with torch.no_grad():
        for parameter in (p for name, p in model.named_parameters() if ".phi." not in name):
            mine = next(left)[replica]
            parameter.copy_(mine.T.reshape(parameter.shape) if mine.dim() > 1 else mine)
    return model


def found_by(network, inputs, labels):
    gradients, deltas = {}, {}
    network.draw(3)
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
@pytest.mark.parametrize("kind", ["sgd", "momentum", "adam"])
def test_ten_steps_equal_plain_pytorch(kind):
    network = made(optimiser=kind)
    models, rates = [plain_of(network, replica) for replica in range(2)], [0.003, 0.01]
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
            loss = F.cross_entropy(model(images(inputs[replica])), labels[replica])
            loss.backward()
            own.step()
            assert losses[replica].item() == pytest.approx(loss.item(), rel=1e-9)
    inputs, labels = batch_of(network, 99)
    loss, accuracy = network.evaluate(list(inputs), list(labels))
    for replica, model in enumerate(models):
        logits = model.eval()(images(inputs[replica]))
        close(loss[replica], F.cross_entropy(logits, labels[replica]).detach())
        assert accuracy[replica] == (logits.argmax(1) == labels[replica]).double().mean()
        for mine, parameter in zip(network.parameters, model.parameters(), strict=True):
            close(mine[replica], parameter.flatten(1).T if parameter.dim() > 1 else parameter)


def test_activations_and_deltas_are_those_of_every_call():
    network = made()
    inputs, labels = batch_of(network)
    _, gradients, deltas = found_by(network, inputs, labels)
    assert [(layer.units, layer.positions) for layer in network.layers] == [(7, 9)] * 5 + [(10, 1), (CLASSES, 1)]
    assert [*deltas] == [6, 5, 4, 3, 2, 1]
    for replica in range(2):
        met = []

        class Kept(nn.Module):
            def forward(self, h, met=met):
                h.requires_grad and h.retain_grad()
                met.append(h)
                return F.gelu(h)

        model = plain_of(network, replica, Kept)
        F.cross_entropy(model(images(inputs[replica])), labels[replica]).backward()
        for layer, h in enumerate(met, 1):
            expected = h.grad.movedim(1, -1).flatten(1, -2) if h.dim() > 2 else h.grad
            close(deltas[layer][replica], expected)
        for index, parameter in enumerate(model.parameters()):
            close(gradients[index][replica], parameter.grad.flatten(1).T if parameter.dim() > 1 else parameter.grad)
        weights = [name for name, _ in model.named_parameters()]
        places = [weights[layer.weight] for layer in network.layers]
        assert places == [f"{at}.weight" for at in ("0", "2.first", "2.second", "3.first", "3.second", "6", "8")]
    network = made()  # with running statistics as at first
    met.clear()
    model = plain_of(network, 1, Kept).eval()
    model(images(inputs[1]))
    seen = []
    network.logits(list(inputs), lambda layer, h, x: seen.append((h[1], x[1], network.slope(layer, h)[1])))
    for (h, x, slope), theirs in zip(seen, met, strict=True):
        expected = theirs.detach().movedim(1, -1).flatten(1, -2) if theirs.dim() > 2 else theirs.detach()
        close(h, expected)
        close(x, F.gelu(expected))
        leaf = expected.clone().requires_grad_()
        close(slope, torch.autograd.grad(F.gelu(leaf).sum(), leaf)[0])


def test_learnable_activations_have_a_parameter_at_every_call():
    network = made(name="prelu_per_unit")
    inputs, labels = batch_of(network)
    _, gradients, _ = found_by(network, inputs, labels)
    learned = network.parameters[-6:]
    assert [p.shape for p in learned] == [(2, 7)] * 5 + [(2, 10)]
    assert network.owners[-6:] == [1, 2, 3, 4, 5, 6]
    step, place = 1e-6, len(network.parameters) - 6 + 2
    losses = []
    for sign in (1, -1):
        other = made(name="prelu_per_unit")
        other.parameters[place][1, 3] += sign * step
        losses.append(found_by(other, inputs, labels)[0])
    close_enough = functools.partial(torch.testing.assert_close, rtol=1e-5, atol=1e-8)
    close_enough((losses[0][1] - losses[1][1]) / (2 * step), gradients[place][1, 3])
    assert losses[0][0] == losses[1][0], "a replica's own"


@pytest.mark.slow
def test_a_model_of_torchvision_is_that_model():
    network = made(RESNET, "relu", shape=(16, 16, 1), depth=17)
    inputs, labels = batch_of(network, samples=3)
    model = models.resnet18(num_classes=CLASSES).double()
    with torch.no_grad():
        for parameter, mine in zip(model.parameters(), network.parameters, strict=True):
            parameter.copy_(mine[1].T.reshape(parameter.shape) if mine.dim() > 2 else mine[1])
    loss, gradients, deltas = found_by(network, inputs, labels)
    expected = F.cross_entropy(model(inputs[1].view(3, 1, 16, 16).expand(-1, 3, -1, -1)), labels[1])
    expected.backward()
    close(loss[1], expected.detach())
    assert len(deltas) == 17
    for index, parameter in enumerate(model.parameters()):
        theirs = parameter.grad.flatten(1).T if parameter.dim() > 1 else parameter.grad
        torch.testing.assert_close(gradients[index][1], theirs, rtol=1e-7, atol=1e-9)
    assert network.parameter_count == sum(p.numel() for p in model.parameters())


def test_a_network_like_it_goes_on_from_its_state():
    network = made()
    inputs, labels = batch_of(network)
    found_by(network, inputs, labels)  # which moves the running statistics
    other = network.like([5], torch.float32)
    other.load([tensor[1:] for tensor in network.state])
    expected = network.logits(list(inputs))[1:]
    torch.testing.assert_close(other.logits([inputs[1].float()]).double(), expected, rtol=1e-4, atol=1e-4)
    alone = made(seeds=[1])
    together = made()
    for mine, theirs in zip(alone.state, together.state, strict=True):
        torch.testing.assert_close(mine, theirs[1:], rtol=0, atol=0)


def test_dropout_is_a_function_of_seed_and_step():
    network = made({"module": "own_networks:noisy"}, depth=2, shape=())
    inputs, labels = batch_of(network)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    one, again = found_by(network, inputs, labels), found_by(network, inputs, labels)
    close(one[0], again[0])
    network.draw(4)
    assert (network.loss_and_gradients(inputs, labels, lambda i, g: None) != one[0]).all()
    assert torch.equal(torch.get_rng_state(), before)


def test_layers_have_unit_variance_where_lsuv_is_asked_for():
    network = made({"module": "own_networks:plain"}, "silu", depth=3, shape=(), initialisation="lsuv")
    inputs, _ = batch_of(network, samples=40)
    unit_variance(network, list(inputs))
    found = []
    network.logits(list(inputs), lambda _, h, x: found.append(h.flatten(1).std(1, correction=0)))
    torch.testing.assert_close(torch.stack(found), torch.ones(3, 2, dtype=torch.float64))


@pytest.mark.parametrize(
    ("entry", "more", "message"),
    [
        (OWN, {"depth": 5}, r"^depth: 5 is asked for, but mine has 4 activations"),
        (OWN, {"normalisation": "batch"}, r"^normalisation: batch is not for mine, a module of one's own; none is"),
        (OWN, {"initialisation": "gain"}, r"^initialisation: gain is not for mine, .*; torch_default or lsuv is"),
        (OWN, {"centred": True}, r"^centred: True is not for mine"),
        ({"module": "own_networks:without"}, {}, r"^networks\.mine: calls no activation\(\) that it was given"),
        ({"module": "own_networks:broken"}, {}, r"^networks\.mine: cannot be built: ValueError: no such thing"),
        ({"module": "own_networks:nothing"}, {}, r"^networks\.mine: module 'own_networks:nothing'"),
        (OWN | {"wide": 3}, {}, r"^networks\.mine: cannot be built: TypeError: .*wide"),
        (RESNET, {"shape": ()}, r"^network: mine needs images, which the samples of any are not"),
        (RESNET | {"replace": "GELU"}, {"shape": (8, 8, 3)}, r"^networks\.mine: has no GELU"),
        (
            RESNET | {"class": "torchvision.models.resnet1"},
            {},
            r"^networks\.mine: cannot be built: ValueError: .*resnet1",
        ),
    ],
)
def test_what_cannot_be_is_one_line(entry, more, message):
    with pytest.raises(StudyError, match=message) as error:
        made(entry, **more)
    assert "\n" not in str(error.value)
