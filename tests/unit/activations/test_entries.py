"""Entries as people write them: formulas, names, numbers, and the list of torch.nn's classes."""

import time

import numpy as np
import pytest
from torch import nn

import small
from activation_study.activations import entries, examination, portrait
from activation_study.activations.activation import from_entry
from activation_study.core.errors import StudyError
from activation_study.study.study import Study

# name -> formula, what its refusal says; None if it is taken
WRITTEN = {
    "np_tanh": ("np.tanh(x)", None),
    "torch_relu": ("torch.relu(x)", None),
    "square": ("x**2", None),
    "x_sq_caret": ("x^2", None),
    "ifelse": ("x if x > 0 else 0.01*x", None),
    "where": ("where(x > 0, x, 0.01*x)", None),
    "mask": ("(x > 0) * x", None),
    "const_e": ("1/(1+e**(-x))", "write sigmoid(x)"),
    "unary": ("--x", None),
    "paren": ("((x))", None),
    "unicode_x": ("х * sigmoid(х)", "CYRILLIC SMALL LETTER HA"),
    "unicode_pi": ("sin(π*x)", None),
    "unicode_minus": ("x − 1", None),
    "sup2": ("x²", None),
    "max0": ("max(0, x)", None),
    "min": ("min(max(0,x),6)", None),
    "logistic": ("1 / (1 + exp(-x))", "write sigmoid(x)"),
    "softplus_naive": ("log(1 + exp(x))", "write softplus(x)"),
    "mish_naive": ("x * tanh(log(1 + exp(x)))", "write mish(x)"),
    "snake": ("x + sin(x)**2", None),
    "snake_a": ("x + sin(2*x)**2/2", None),
    "relu2": ("relu(x)**2", None),
    "lecun": ("1.7159*tanh(2/3*x)", None),
    "gelu_tanh": ("0.5*x*(1+tanh(sqrt(2/pi)*(x+0.044715*x**3)))", None),
    "softsign": ("x/(1+abs(x))", None),
    "sqrt_act": ("sign(x)*sqrt(abs(x))", "its derivative at x = 0 is nan"),
    "signlog": ("sign(x)*log1p(abs(x))", None),
    "squareplus": ("(x + sqrt(x**2 + 4))/2", None),
    "arctan": ("atan(x)", None),
    "arcsinh": ("asinh(x)", None),
    "gauss": ("exp(-x**2)", None),
    "sinc": ("sin(x)/x", "its value at x = 0 is nan"),
    "cube": ("x**3", None),
    "cbrt": ("x**(1/3)", "its value at x = -30 is nan"),
    "logcosh": ("log(cosh(x))", "write x + softplus(-2*x) - log(2)"),
    "sinh": ("sinh(x)", None),
    "heaviside": ("sign(x)", "its derivative is zero everywhere"),
    "floor": ("floor(x)", "unknown function 'floor'"),
    "hardsigmoid": ("clamp(x/6+0.5, 0, 1)", None),
    "clip": ("clip(x, 0, 6)", None),
    "clamp_kw": ("clamp(x, min=0)", None),
    "hswish": ("x*minimum(maximum(x+3,0),6)/6", None),
    "bent": ("(sqrt(x**2+1)-1)/2 + x", None),
    "elu_naive": ("maximum(x,0) + minimum(exp(x)-1,0)", "write elu(x)"),
    "dyt": ("tanh(0.5*x)", None),
    "selfgated": ("x*sigmoid(beta*x)", "unknown name 'beta'"),
    "z": ("maximum(0,z)", "the variable is x"),
    "pow_fn": ("pow(x, 2)", None),
    "softmax": ("softmax(x)", "not elementwise"),
    "hardtanh_neg": ("clamp(x, -1, 1)", None),
    "expbig": ("exp(x)", None),
    "exp5": ("exp(5*x)", "its value at x = 18 is inf"),
    "poly16": ("x**16", None),
    "inv": ("1/x", "its value at x = 0 is inf"),
    "xlogx": ("x*log(abs(x)+1e-12)", None),
    "sci": ("maximum(x, 1e-2*x)", None),
    "frac": ("maximum(x, .01*x)", None),
    "comma": ("maximum(x, 0,01*x)", "write 0.01"),
    "relu6": ("minimum(relu(x), 6)", None),
    "x0": ("x*0", "its derivative is zero everywhere"),
    "konst": ("0*x + 1", "its derivative is zero everywhere"),
    "big": ("1e10*x", None),
    "tiny": ("1e-20*x", None),
    "norm": ("x/sqrt(1+x**2)", None),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", WRITTEN)
def test_formulas_as_people_write_them(name):
    text, refusal = WRITTEN[name]
    if refusal is None:
        row = portrait.description(from_entry(name, {"expression": text}))["constants"]
        assert np.isfinite([row["gain"], row["chi"], row["mean"]]).all()
        return
    with pytest.raises(StudyError, match=rf"activations\.{name}: ") as caught:
        portrait.description(from_entry(name, {"expression": text}))
    assert refusal in str(caught.value)
    assert "\n" not in str(caught.value)


# --- the list of classes -----------------------------------------------------------------------------------------

REQUIRED = {"Threshold": {"threshold": 0.1, "value": 0.0}}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_list_holds_every_class_of_torch_that_passes_and_no_other():
    passed = set()
    for name in dir(nn):
        kind = getattr(nn, name)
        if isinstance(kind, type) and issubclass(kind, nn.Module):

            def build(width, kind=kind, name=name):
                try:
                    return kind(**REQUIRED.get(name, {}))
                except Exception as error:
                    raise examination.NotAnActivation(str(error)) from None

            try:
                examination.examine(build, [2], per_unit=True, own=False)
                passed.add(name)
            except examination.NotAnActivation:
                pass
    assert passed == set(entries.CLASSES)


def test_a_class_that_is_none_is_refused_before_torch_is_asked():
    start = time.perf_counter()
    with pytest.raises(StudyError, match="'LSTM' is not an activation class"):
        Study.from_config(small.config(activations={"relu": {"class": "LSTM", "num_layers": 10**6}}))
    assert time.perf_counter() - start < 2


# --- entries as people write them --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "completed"),
    [
        ("ReLU", {"class": "ReLU"}),
        ({"class": "LeakyReLU", "negative_slope": "1e-2"}, {"class": "LeakyReLU", "negative_slope": 0.01}),
        ({"class": "ELU", "alpha": " 5E-1 "}, {"class": "ELU", "alpha": 0.5}),
        ({"class": "Softplus", "beta": "2"}, {"class": "Softplus", "beta": 2}),
        ({"class": "GELU", "approximate": "tanh"}, {"class": "GELU", "approximate": "tanh"}),
        ({"class": "PReLU", "num_parameters": "width"}, {"class": "PReLU", "num_parameters": "width"}),
        (
            {"module": "own_activations:LearnedSwish", "beta": "1e0"},
            {"module": "own_activations:LearnedSwish", "beta": 1.0},
        ),
        ({"expression": "1e-2*x"}, {"expression": "1e-2*x"}),
    ],
)
def test_an_entry_is_completed_once_for_all(entry, completed):
    config = small.config(activations={"relu": entry})
    assert Study.from_config(config).config.activations["relu"].model_dump() == completed
    direct = from_entry("relu", entry)
    assert direct.entry == completed
    x = np.linspace(-3, 3, 13)
    np.testing.assert_array_equal(direct.evaluate(x)[0], from_entry("relu", completed).evaluate(x)[0])


def test_the_same_run_whichever_way_it_is_written():
    written = small.run(activations={"relu": {"class": "LeakyReLU", "negative_slope": "1e-2"}})
    assert written.params == small.run(activations={"relu": {"class": "LeakyReLU", "negative_slope": 0.01}}).params
