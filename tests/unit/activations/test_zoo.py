"""The zoo's activations against the formulas of their sources, evaluated with 40 digits."""

from pathlib import Path

import mpmath
import numpy as np
import pytest
import yaml
from mpmath import atan, atan2, cos, cosh, erf, exp, log, mp, mpf, pi, sech, sign, sin, sinh, sqrt, tanh

from activation_study.activations.activation import from_entry

ROOT = Path(__file__).parents[3]
ZOO = yaml.safe_load((ROOT / "config" / "zoo.yaml").read_text(encoding="utf-8"))["activations"]
POINTS = [-20.3, -7.7, -3.1, -1.7, -0.77, -0.31, -0.013, 0.017, 0.29, 0.71, 1.3, 2.9, 6.1, 19.7]
"""No kink of any."""


def sigmoid(x):
    return 1 / (1 + exp(-x))


def softplus(x):
    return log(1 + exp(x))


def normal(x):
    return (1 + erf(x / sqrt(2))) / 2


def leaky(slope):
    return lambda x: x if x > 0 else slope * x


def elu(alpha, scale=1):
    return lambda x: scale * (x if x > 0 else alpha * (exp(x) - 1))


def between(low, x, high):
    return max(low, min(x, high))


def soft_root_sign(x):
    return x / (x / 2 + exp(-x / 3))


def gelu_tanh(x):
    return x / 2 * (1 + tanh(sqrt(2 / pi) * (x + mpf("0.044715") * x**3)))


def sqnl(x):
    if abs(x) > 2:
        return sign(x)
    return x - x**2 / 4 if x >= 0 else x + x**2 / 4


def plu(x):
    return mpf("0.1") * (abs(x) - 1) * sign(x) + sign(x) if abs(x) > 1 else x


def pau(x):
    above = ("0.02996348", "0.61690165", "2.37539147", "3.06608078", "1.52474449", "0.25281987")
    below = ("1.19160814", "4.40811795", "0.91111034", "0.34885983")
    numerator = sum(mpf(a) * x**k for k, a in enumerate(above))
    return numerator / (1 + abs(sum(mpf(b) * x**k for k, b in enumerate(below, 1))))


FORMULAS = {
    "sigmoid": lambda x: (1 + tanh(x / 2)) / 2,
    "tanh": lambda x: sinh(x) / cosh(x),
    "lecun_tanh": lambda x: mpf("1.7159") * tanh(2 * x / 3),
    "penalized_tanh": lambda x: tanh(x) if x > 0 else tanh(x) / 4,
    "hardtanh": lambda x: between(-1, x, 1),
    "hardsigmoid": lambda x: between(0, x / 6 + mpf(1) / 2, 1),
    "softsign": lambda x: x / (1 + abs(x)),
    "arctan": lambda x: atan2(x, 1),
    "erf": lambda x: 2 * normal(sqrt(2) * x) - 1,
    "probit": normal,
    "isru": lambda x: sinh(mpmath.asinh(x)) / cosh(mpmath.asinh(x)),
    "sqnl": sqnl,
    "cloglog": lambda x: -mpmath.expm1(-exp(x)),
    "loglog": lambda x: exp(-exp(-x)),
    "bounded_relu": lambda x: between(0, x, 1),
    "relu6": lambda x: between(0, x, 6),
    "soft_clipping": lambda x: log((1 + exp(x)) / (1 + exp(x - 1))),
    "dsilu": lambda x: sigmoid(x) + x * sigmoid(x) * (1 - sigmoid(x)),
    "identity": lambda x: x,
    "relu": leaky(0),
    "leaky_relu": leaky(mpf("0.01")),
    "very_leaky_relu": leaky(2 / mpf(11)),
    "prelu": leaky(mpf("0.25")),
    "prelu_per_unit": leaky(mpf("0.25")),
    "rrelu": leaky(11 / mpf(48)),
    "shifted_relu": lambda x: max(x, -1),
    "absolute": leaky(-1),
    "plu": plu,
    "hardshrink": lambda x: x if abs(x) > 0.5 else mpf(0),
    "softshrink": lambda x: sign(x) * max(abs(x) - mpf(1) / 2, 0),
    "arelu": lambda x: (1 + sigmoid(2)) * x if x > 0 else mpf("0.9") * x,
    "softplus": softplus,
    "shifted_softplus": lambda x: log(exp(x) / 2 + mpf(1) / 2),
    "parametric_softplus": lambda x: log(1 + exp(5 * x)) / 5,
    "squareplus": lambda x: x / 2 + sqrt((x / 2) ** 2 + 1),
    "elu": elu(1),
    "celu": lambda x: x if x > 0 else (exp(2 * x) - 1) / 2,
    "selu": elu(mpf("1.6732632423543772848"), mpf("1.0507009873554804934")),
    "pelu": elu(1),
    "isrlu": lambda x: x if x > 0 else x / sqrt(1 + x**2),
    "softplus_linear": lambda x: x if x > 0 else 2 * log((exp(x) + 1) / 2),
    "bent_identity": lambda x: (sqrt(x**2 + 1) - 1) / 2 + x,
    "logsigmoid": lambda x: log(sigmoid(x)),
    "natural_log_relu": lambda x: log(1 + max(x, 0)),
    "symlog": lambda x: sign(x) * log(1 + abs(x)),
    "arcsinh": lambda x: log(x + sqrt(x**2 + 1)),
    "tanhshrink": lambda x: x - tanh(x),
    "pau": pau,
    "silu": lambda x: x / (1 + exp(-x)),
    "swish": lambda x: x / (1 + exp(-x)),
    "e_swish": lambda x: 3 * x / (1 + exp(-x)) / 2,
    "hardswish": lambda x: x * between(0, x + 3, 6) / 6,
    "gelu": lambda x: x * normal(x),
    "gelu_tanh": gelu_tanh,
    "gelu_sigmoid": lambda x: x * sigmoid(mpf("1.702") * x),
    "mish": lambda x: x * tanh(softplus(x)),
    "hard_mish": lambda x: x if x > 0 else mpf(0) if x < -2 else x**2 / 2 + x,
    "elish": lambda x: x / (1 + exp(-x)) if x > 0 else (exp(x) - 1) / (1 + exp(-x)),
    "hard_elish": lambda x: (x if x > 0 else exp(x) - 1) * between(0, (x + 1) / 2, 1),
    "flatten_t_swish": lambda x: (x * sigmoid(x) if x > 0 else 0) - mpf(1) / 5,
    "tanhexp": lambda x: x * tanh(exp(x)),
    "serf": lambda x: x * erf(softplus(x)),
    "erfact": lambda x: x * erf(mpf("0.75") * exp(mpf("0.75") * x)),
    "pserf": lambda x: x * erf(mpf("1.25") * softplus(mpf("0.85") * x)),
    "logish": lambda x: x * log(1 + sigmoid(x)),
    "smish": lambda x: x * tanh(log(1 + sigmoid(x))),
    "phish": lambda x: x * tanh(x * normal(x)),
    "tanhsoft_1": lambda x: tanh(mpf("0.87") * x) * softplus(x),
    "eanaf": lambda x: x * exp(x) / (exp(x) + 2),
    "pflu": lambda x: x / 2 * (1 + x / sqrt(1 + x**2)),
    "arctan_linear": lambda x: x * (atan(x) / pi + mpf(1) / 2),
    "aria2": lambda x: x * (1 + exp(-2 * x)) ** (-mpf(3) / 2),
    "golu": lambda x: x * exp(-exp(-x)),
    "sinlu": lambda x: (x + sin(x)) / (1 + exp(-x)),
    "lisht": lambda x: x * tanh(x),
    "resech": lambda x: x * sech(x),
    "soft_root_sign": soft_root_sign,
    "squared_relu": lambda x: max(x, 0) ** 2,
    "cubed_relu": lambda x: max(x, 0) ** 3,
    "star_relu": lambda x: mpf("0.8944") * max(x, 0) ** 2 - mpf("0.4472"),
    "quadratic": lambda x: x * x,
    "soft_modulus": lambda x: 2 * x**2 - abs(x) ** 3 if abs(x) < 1 else abs(x),
    "sine": sin,
    "cosine": cos,
    "growing_cosine": lambda x: x * cos(x),
    "snake": lambda x: x + (1 - cos(2 * x)) / 2,
    "gaussian": lambda x: exp(-(x**2)),
    "inverse_quadratic": lambda x: 1 / (1 + x**2),
    "multiquadric": lambda x: cosh(mpmath.asinh(x)),
    "mexican_hat": lambda x: (1 - x**2) * exp(-(x**2) / 2),
    "morlet": lambda x: cos(7 * x / 4) * exp(-(x**2) / 2),
}


def test_every_activation_has_a_formula_and_a_source():
    assert FORMULAS.keys() == ZOO.keys()
    assert len(ZOO) >= 60
    text = (ROOT / "config" / "zoo.yaml").read_text(encoding="utf-8")
    for name in ZOO:
        assert "#" in text.split(f"\n  {name}:")[1].split("\n")[0], name


@pytest.mark.slow
@pytest.mark.parametrize("name", ZOO)
def test_value_and_derivative_are_those_of_the_formula(name: str, monkeypatch):
    monkeypatch.chdir(ROOT)  # where config/zoo_modules.py is found
    activation = from_entry(name, ZOO[name], widths=(64,))
    value, derivative = activation.evaluate(np.array(POINTS))
    with mp.workdps(40):
        expected = [FORMULAS[name](mpf(x)) for x in POINTS]
        slopes = [mpmath.diff(FORMULAS[name], mpf(x), h=mpf("1e-12")) for x in POINTS]
    # Parameters of modules and constants in PyTorch's kernels are float32.
    tolerance = {"module": 1e-5, "class": 1e-7}.get(activation.kind, 1e-9)
    np.testing.assert_allclose(value, np.array(expected, float), rtol=tolerance, atol=1e-12)
    np.testing.assert_allclose(derivative, np.array(slopes, float), rtol=tolerance, atol=1e-9)
