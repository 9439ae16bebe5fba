"""Other activations in a user's model, and the lines for its weights."""

import math

import pytest
import torch
from torch import nn
from torchvision import models

import activation_study
from activation_study.core.errors import StudyError


def small():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 5))


@pytest.mark.parametrize(
    ("new", "value"),
    [
        ("gelu", nn.GELU()),
        ("leaky_relu", nn.LeakyReLU()),
        ("LeakyReLU", nn.LeakyReLU()),
        ({"class": "LeakyReLU", "negative_slope": 0.3}, nn.LeakyReLU(0.3)),
        ({"expression": "x * sigmoid(x)"}, nn.SiLU()),
        (lambda: nn.Softplus(2.0), nn.Softplus(2.0)),
    ],
)
def test_it_computes_the_other_one(new, value):
    model, x = small(), torch.randn(9, 20)
    expected = model[4](value(model[2](value(model[0](x)))))
    found = activation_study.swap(model, nn.ReLU, new)
    assert found is model
    assert torch.allclose(found(x), expected, atol=1e-6)


class Bump(nn.Module):
    """A class of one's own."""

    def forward(self, x):
        return x * torch.exp(-x * x)


def test_a_probe_sees_what_was_put_there_whatever_its_class():
    model = nn.Sequential(*small()[:2], small()[2:])
    activation_study.swap(model[2], nn.ReLU, Bump)
    table = activation_study.probe(model, torch.randn(8, 20)).table
    assert table["activation"].tolist() == ["ReLU", "Bump"]


def test_shared_modules_go_on_to_be_shared_and_learn():
    phi = nn.ReLU()
    model = nn.Sequential(nn.Linear(2, 2), phi, nn.Linear(2, 2), phi)
    activation_study.swap(model, nn.ReLU, "prelu")
    assert model[1] is model[3]
    assert sum(p.numel() for p in model.parameters()) == 13


def test_a_model_of_torchvision_and_unit_variance():
    model = models.squeezenet1_1(num_classes=3)
    x = torch.randn(16, 3, 64, 64)
    assert not model.eval().training
    activation_study.swap(model, nn.ReLU, "mish", unit_variance_on=x)
    assert not model.training
    table = activation_study.probe(model, (x, torch.arange(16) % 3)).table
    assert set(table["activation"]) == {"Mish"}
    assert len(table) == 26
    assert table["gradient_norm_log10"].notna().all(), "the last has no weight behind it"
    assert table["preactivation_sd"].between(0.7, 1.3).all()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (nn.Tanh, "gelu", "has no module of class Tanh"),
        (nn.ReLU, "gelo", "did you mean GELU"),
        (nn.ReLU, {"class": "PReLU", "num_parameters": "width"}, "parameter for each unit"),
        (nn.ReLU, {"expression": "y"}, "y"),
    ],
)
def test_what_cannot_be_is_refused(old, new, said):
    with pytest.raises(StudyError, match=said):
        activation_study.swap(small(), old, new)


def test_each_line_gives_weights_of_its_gain():
    table = activation_study.initialisation_lines()
    for row in table.itertuples():
        torch.manual_seed(0)
        w = torch.empty(300, 20, 3, 3)
        exec(row.line, {"nn": nn, "w": w})
        assert float(w.std()) * math.sqrt(180) == pytest.approx(row.gain, rel=0.01), row.activation
    known = dict(zip(table["activation"], table["gain"], strict=True))
    assert known["ReLU"] == pytest.approx(math.sqrt(2))
    assert known["LeakyReLU"] == pytest.approx(math.sqrt(2 / (1 + 0.01**2)))
    assert known["SELU"] == pytest.approx(1, abs=1e-9)
