"""Every default activation against a formula written down independently, and what is refused as one."""

import numpy as np
import pytest
import torch
from torch import nn

from activation_study.activations.activation import PaperRReLU, from_entry, slope_distribution
from activation_study.core.errors import StudyError
from formulas import TABLE


@pytest.mark.parametrize("name", TABLE)
def test_value_and_derivative(name):
    entry, value, derivative = TABLE[name]
    x = np.concatenate([np.linspace(-12, 12, 601), [-1e-9, 1e-9]]).reshape(3, 201)
    got, slope = from_entry(name, entry).evaluate(x)
    assert got.dtype == slope.dtype == np.float64
    np.testing.assert_allclose(got, value(x), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(slope, derivative(x), rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("name", TABLE)
def test_what_an_activation_says_of_itself(name):
    entry = TABLE[name][0]
    activation = from_entry(name, entry)
    assert activation.name == name
    assert activation.entry == entry
    assert activation.kind in entry
    assert activation.definition.startswith(entry[activation.kind])
    assert activation.learnable == (name == "prelu")
    assert activation.stochastic == name.startswith("rrelu")
    assert activation.module() is not activation.module()


def test_a_definition_shows_its_arguments():
    assert from_entry("a", {"class": "ELU", "alpha": 2.0}).definition == "ELU(alpha=2.0)"


def test_width_stands_for_the_number_of_units():
    activation = from_entry("a", {"class": "PReLU", "num_parameters": "width", "init": 0.1})
    assert activation.module(7).weight.shape == (7,)
    np.testing.assert_allclose(activation.evaluate(np.array([-2.0]))[0], -0.2, rtol=1e-7)


@pytest.mark.parametrize(("lower", "upper"), [(3.0, 8.0), (2.0, 2.5)])
def test_paper_rrelu_draws_the_divisor(lower, upper):
    torch.manual_seed(0)
    x = torch.full((200_000,), -1.0, dtype=torch.float64)
    x[:10] = 3.0
    module = PaperRReLU(lower, upper)
    y = module(x)
    assert (y[:10] == 3).all()
    divisor = -1 / y[10:]
    assert lower <= divisor.min() < divisor.max() <= upper
    error = (upper - lower) / np.sqrt(12 * len(divisor))
    assert divisor.mean() == pytest.approx((lower + upper) / 2, abs=4 * error)
    assert divisor.std() == pytest.approx((upper - lower) / np.sqrt(12), rel=0.01)
    torch.testing.assert_close(module.eval()(x)[10:], 2 * x[10:] / (lower + upper))


def test_slope_distributions():
    law = slope_distribution(PaperRReLU())
    assert (law.quantile(0.0), law.quantile(1.0), law.evaluation) == (1 / 3, 1 / 8, 2 / 11)
    law = slope_distribution(nn.RReLU())
    assert (law.quantile(0.0), law.quantile(1.0), law.evaluation) == (1 / 8, 1 / 3, pytest.approx(11 / 48))
    assert slope_distribution(nn.LeakyReLU()) is None


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ({"class": "Relu"}, "'Relu' is not an activation class of torch.nn; did you mean ReLU?"),
        ({"class": "leaky_relu"}, "did you mean LeakyReLU?"),
        ({"class": "Parameter"}, "'Parameter' is not an activation class of torch.nn"),
        (
            {"class": "LSTM", "input_size": 1, "hidden_size": 1, "num_layers": 10**6},
            "'LSTM' is not an activation class",
        ),
        ({"class": "LeakyReLU", "slope": 0.1}, "unexpected keyword argument 'slope'"),
        ({"class": "Threshold"}, "missing 2 required positional arguments"),
        ({"class": "ELU", "alpha": "large"}, "fails on an input"),
        ({"class": "ReLU", "inplace": True}, "inplace"),
        ({"module": "torch.nn:GLU"}, "into [121, 1]"),
        ({"module": "torch.nn:Softmax", "dim": 0}, "at one sample depends on other samples"),
        ({"module": "torch.nn:Softmax", "dim": 1}, "at one unit depends on other units"),
        ({"module": "torch.nn:LayerNorm", "normalized_shape": "width"}, "at one unit depends on other units"),
        (
            {"module": "torch.nn:BatchNorm1d", "num_features": "width"},
            "keeps state between calls: 'running_mean' changes",
        ),
        ({"module": "torch.nn:BatchNorm1d", "num_features": "width", "track_running_stats": False}, "on other samples"),
        ({"module": "torch.nn:Linear", "in_features": 2, "out_features": 2}, "at one unit depends on other units"),
        ({"module": "torch.nn:MSELoss"}, "fails on an input"),
        ({"module": "torch.nn:Module"}, "fails on an input"),
        ({"expression": "log(x)"}, "its value at x = -30 is nan"),
        ({"expression": "exp(x * x)"}, "its value at x = -30 is inf"),
        ({"expression": "sqrt(abs(x))"}, "its derivative at x = 0 is nan"),
        ({"expression": "sign(x)"}, "derivative is zero everywhere"),
        ({"expression": "x * 0"}, "derivative is zero everywhere"),
        ({"expression": "x +"}, "not a formula"),
        ({"module": "no_such_package:Thing"}, "is not found in"),
        ({"module": "activation_study.activations:Missing"}, "cannot be imported: AttributeError"),
        ({"module": "pathlib:Path"}, "not a class derived from torch.nn.Module"),
        ({"module": "odd_activations:Detached"}, "cannot be differentiated"),
        ({"module": "odd_activations:Booleans"}, "into torch.bool"),
        ({"module": "odd_activations:Doubles"}, "into torch.float64"),
        ({"module": "odd_activations:AlwaysNoisy"}, "random in evaluation mode"),
        ({"module": "odd_activations:Tuple"}, "into tuple"),
        ({"module": "odd_activations:Accumulating"}, "at one sample depends on other samples"),
        ({"class": "ReLU", "expression": "x"}, "exactly one of the keys"),
        ({}, "exactly one of the keys"),
    ],
)
def test_refused_in_one_line(entry, says, tmp_path, monkeypatch):
    (tmp_path / "odd_activations.py").write_text(ODD)
    monkeypatch.chdir(tmp_path)  # found in the working directory
    with pytest.raises(StudyError) as caught:
        from_entry("mine", entry)
    message = str(caught.value)
    assert message.startswith("activations.mine: ")
    assert says in message
    assert "\n" not in message


ODD = """
import torch
from torch import nn

class Detached(nn.Module):
    def forward(self, x):
        return x.detach() * 2

class Booleans(nn.Module):
    def forward(self, x):
        return x > 0

class Doubles(nn.Module):
    def forward(self, x):
        return x.double().relu()

class AlwaysNoisy(nn.Module):
    def forward(self, x):
        return x + torch.rand_like(x)

class Tuple(nn.Module):
    def forward(self, x):
        return x, x

class Accumulating(nn.Module):
    def forward(self, x):
        return x.cumsum(0)
"""


def test_modules_can_be_forbidden():
    with pytest.raises(StudyError, match="allow_modules"):
        from_entry("mine", {"module": "pathlib:Path"}, allow_modules=False)


def test_the_check_leaves_the_random_stream_alone():
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    from_entry("a", {"class": "RReLU"})
    assert torch.equal(torch.rand(4), expected)
