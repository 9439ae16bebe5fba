"""A user's model under the study's probes: against hooks and autograd by hand, and against the study's own networks."""

import doctest
import importlib

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import activation_study
from activation_study.core.errors import StudyError


class Residual(nn.Module):
    """One in-place module called twice, before a skip and behind it, and batch statistics."""

    def __init__(self):
        super().__init__()
        self.first, self.norm, self.second = nn.Conv2d(2, 6, 3), nn.BatchNorm2d(6), nn.Conv2d(6, 6, 3, padding=1)
        self.phi, self.last = nn.ReLU(inplace=True), nn.Linear(6, 4)

    def forward(self, x):
        x = self.norm(self.first(x))
        x = self.phi(x + self.second(self.phi(x.clone())))
        return self.last(x.mean((2, 3)))


@pytest.fixture
def batch():
    source = torch.Generator().manual_seed(0)
    return torch.randn(40, 2, 6, 5, generator=source), torch.randint(4, (40,), generator=source)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Residual()


def test_it_is_what_hooks_and_autograd_find(model, batch):
    before = [tensor.clone() for tensor in model.state_dict().values()]
    table = activation_study.probe(model, batch).table
    assert table["site"].tolist() == ["phi", "phi #2"]
    assert table["units"].tolist() == [6, 6]
    assert all(map(torch.equal, before, model.state_dict().values())), "the model is left as it was"

    def sites(training):
        model.train(training)
        x = model.norm(model.first(batch[0]))
        first = x.clone().requires_grad_()
        second = x + model.second(first.relu())
        if not training:
            second = second.detach()
        second.retain_grad() if training else None
        loss = F.cross_entropy(model.last(second.relu().mean((2, 3))), batch[1])
        return (first, second), loss

    (first, second), loss = sites(True)
    norms = [
        np.log10(float(g.flatten(1).square().sum(1).mean().sqrt()) * len(batch[0]))
        for g in torch.autograd.grad(loss, [first, second])
    ]
    assert table["gradient_norm_log10"].tolist() == pytest.approx(norms, abs=1e-5)
    assert table["gradient_decay"][0] == pytest.approx(norms[1] - norms[0], abs=1e-5)
    model.load_state_dict(dict(zip(model.state_dict(), before, strict=True)))
    with torch.no_grad():
        seen, _ = sites(False)
    for row, h in zip(table.itertuples(), seen, strict=True):
        h = h.flatten(2)[:, :, torch.linspace(0, 11, 12).long()]
        assert row.preactivation_mean == pytest.approx(h.mean().item(), abs=1e-5)
        assert row.preactivation_sd == pytest.approx(h.std(correction=0).item(), abs=1e-5)
        assert row.dead == pytest.approx(float((h <= 0).all(2).all(0).float().mean()))
        assert row.saturated == pytest.approx(float((h <= 0).float().mean()), abs=1e-6)


def test_a_dead_unit_and_a_saturated_layer_are_named(batch):
    model = nn.Sequential(nn.Flatten(), nn.Linear(60, 10), nn.ReLU(), nn.Linear(10, 10), nn.Sigmoid(), nn.Linear(10, 4))
    with torch.no_grad():
        model[1].bias[:3] = -1e3
        model[3].bias.fill_(12)
    found = activation_study.probe(model, batch)
    assert found.table["dead"].tolist()[0] == 0.3
    assert found.table["saturated"].tolist()[1] == 1
    assert "most at 2: 30.0%" in found.summary
    assert str(found).splitlines()[-1] == found.summary


def test_without_targets_there_are_no_gradients(model, batch):
    found = activation_study.probe(model, batch[0])
    assert found.loss is None
    assert found.table["gradient_norm_log10"].isna().all()
    assert found.table["preactivation_sd"].notna().all()


def test_any_loss_tokens_and_classes_of_ones_own():
    class Own(nn.Module):
        def forward(self, x):
            return x.sin()

    model = nn.Sequential(nn.Embedding(9, 5), nn.Linear(5, 7), Own(), nn.Linear(7, 1))
    batch = torch.arange(18).view(6, 3) % 9, torch.zeros(6, 3, 1)
    found = activation_study.probe(model, batch, activations=[Own], loss=F.mse_loss)
    assert found.table["activation"].tolist() == ["Own"]
    assert found.loss == pytest.approx(float(F.mse_loss(model(batch[0]), batch[1])))


def test_a_gradient_too_small_for_float32_is_found(batch):
    layers = [part for _ in range(40) for part in (nn.Linear(60, 60), nn.Sigmoid())]
    found = activation_study.probe(nn.Sequential(nn.Flatten(), *layers, nn.Linear(60, 4)), batch)
    assert found.table["gradient_norm_log10"].min() < -30


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (nn.Sequential(nn.Flatten(), nn.Linear(60, 4)), "no module that is an activation"),
        (nn.Sequential(nn.ReLU(), nn.Flatten(), nn.Linear(60, 4)), "before any linear or convolutional layer"),
        (nn.Sequential(nn.Linear(3, 4), nn.ReLU()), "fails on this batch: RuntimeError"),
    ],
)
def test_what_cannot_be_probed_is_refused(model, batch, said):
    with pytest.raises(StudyError, match=said):
        activation_study.probe(model, batch)


def test_one_sample_is_too_few(model, batch):
    with pytest.raises(StudyError, match="at least two samples"):
        activation_study.probe(model, batch[0][:1])


@pytest.mark.parametrize("name", ["probing", "swapping"])
def test_the_examples_in_docstrings_hold(name):
    module = importlib.import_module(f"activation_study.inspection.{name}")
    failed, tried = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert tried >= 3
    assert failed == 0
