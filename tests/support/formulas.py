"""Every default activation as a formula written down independently: name → entry, value, derivative."""

import numpy as np
from scipy import special

SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805
PHI = 0.3989422804014327


def leaky(a):
    return lambda x: np.where(x > 0, x, a * x), lambda x: np.where(x > 0, 1.0, a)


def elu(a, scale=1.0):
    return (
        lambda x: scale * np.where(x > 0, x, a * np.expm1(np.minimum(x, 0))),
        lambda x: scale * np.where(x > 0, 1.0, a * np.exp(np.minimum(x, 0))),
    )


def density(x):
    return np.exp(-x * x / 2) * PHI


def sigmoid(x):
    return special.expit(x)


def mish_slope(x):
    t = np.tanh(np.logaddexp(0, x))
    return t + x * sigmoid(x) * (1 - t * t)


TABLE = {
    "identity": ({"class": "Identity"}, lambda x: x, np.ones_like),
    "sigmoid": ({"class": "Sigmoid"}, sigmoid, lambda x: sigmoid(x) * sigmoid(-x)),
    "tanh": ({"class": "Tanh"}, np.tanh, lambda x: np.cosh(x) ** -2.0),
    "relu": ({"class": "ReLU"}, *leaky(0.0)),
    "leaky_relu": ({"class": "LeakyReLU", "negative_slope": 0.01}, *leaky(0.01)),
    "very_leaky_relu": ({"class": "LeakyReLU", "negative_slope": 1 / 5.5}, *leaky(1 / 5.5)),
    "rrelu": ({"class": "RReLU"}, *leaky(11 / 48)),
    "rrelu_article": ({"class": "RReLU", "lower": 0.0, "upper": 1.0}, *leaky(0.5)),
    "rrelu_paper": ({"module": "activation_study.activations:PaperRReLU"}, *leaky(2 / 11)),
    "prelu": ({"class": "PReLU"}, *leaky(0.25)),
    "elu": ({"class": "ELU"}, *elu(1.0)),
    "selu": ({"class": "SELU"}, *elu(SELU_ALPHA, SELU_SCALE)),
    "gelu": ({"class": "GELU"}, lambda x: x * special.ndtr(x), lambda x: special.ndtr(x) + x * density(x)),
    "silu": ({"class": "SiLU"}, lambda x: x * sigmoid(x), lambda x: sigmoid(x) * (1 + x * sigmoid(-x))),
    "mish": ({"class": "Mish"}, lambda x: x * np.tanh(np.logaddexp(0, x)), mish_slope),
    "softplus": ({"class": "Softplus"}, lambda x: np.logaddexp(0, x), sigmoid),
    "celu": ({"class": "CELU"}, *elu(1.0)),
    "leaky_0": ({"class": "LeakyReLU", "negative_slope": 0.0}, *leaky(0.0)),
    "relu_centred": (
        {"expression": "relu(x) - 0.3989422804014327"},
        lambda x: np.maximum(x, 0) - PHI,
        leaky(0.0)[1],
    ),
    "leaky_mean_slope": ({"class": "LeakyReLU", "negative_slope": 11 / 48}, *leaky(11 / 48)),
    "shifted_relu": (
        {"expression": "maximum(x, -1)"},
        lambda x: np.maximum(x, -1),
        lambda x: np.where(x > -1, 1.0, 0.0),
    ),
}

# φ, φ′ and the largest |φ′|, in numpy.
FUNCTIONS = {
    "identity": (lambda h: h, np.ones_like, 1.0),
    "relu": (lambda h: np.maximum(h, 0), lambda h: (h > 0) * 1.0, 1.0),
    "leaky": (lambda h: np.where(h > 0, h, 0.01 * h), lambda h: np.where(h > 0, 1.0, 0.01), 1.0),
    "tanh": (np.tanh, lambda h: 1 / np.cosh(np.clip(h, -300, 300)) ** 2, 1.0),
    "sigmoid": (special.expit, lambda h: special.expit(h) * special.expit(-h), 0.25),
    "softplus": (lambda h: np.logaddexp(h, 0), special.expit, 1.0),
}
