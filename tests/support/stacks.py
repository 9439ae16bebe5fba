"""Small stacked networks of every kind of activation."""

import torch

from activation_study.activations.activation import from_entry
from activation_study.activations.theory import constants
from activation_study.core.factors import Factors
from activation_study.networks.mlp import StackedMLP

ENTRIES = {
    "identity": {"class": "Identity"},
    "sigmoid": {"class": "Sigmoid"},
    "tanh": {"class": "Tanh"},
    "relu": {"class": "ReLU"},
    "leaky_relu": {"class": "LeakyReLU", "negative_slope": 0.01},
    "very_leaky_relu": {"class": "LeakyReLU", "negative_slope": 1 / 5.5},
    "prelu": {"class": "PReLU"},
    "prelu_per_unit": {"class": "PReLU", "num_parameters": "width"},
    "elu": {"class": "ELU"},
    "selu": {"class": "SELU"},
    "celu": {"class": "CELU"},
    "gelu": {"class": "GELU"},
    "silu": {"class": "SiLU"},
    "mish": {"class": "Mish"},
    "softplus": {"class": "Softplus"},
    "shifted_relu": {"expression": "maximum(x, -1)"},
    "quick_gelu": {"expression": "x * sigmoid(1.702 * x)"},
    "own": {"module": "own_activations:LearnedSwish"},
}
FEATURES, CLASSES, BATCH, STEPS = 11, 5, 13, 50


def factors_of(**given):
    """Those of a run, small unless it says otherwise."""
    return Factors(activation="any", dataset="any", **({"depth": 3, "width": 17} | given))


def stacked(name, replicas=3, seeds=None, dtype=torch.float64, **factors):
    activation = from_entry(name, ENTRIES[name])
    seeds = seeds if seeds is not None else list(range(replicas))
    return StackedMLP(activation, factors_of(**factors), constants(activation), FEATURES, CLASSES, seeds, dtype=dtype)


def batches(replicas, steps=STEPS, seed=0):
    source = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        inputs = torch.randn(replicas, BATCH, FEATURES, generator=source, dtype=torch.float64)
        yield inputs, torch.randint(CLASSES, (replicas, BATCH), generator=source)


def samples_of(replicas=3, samples=40, seed=3, dtype=torch.float64):
    source = torch.Generator().manual_seed(seed)
    inputs = torch.randn(replicas, samples, FEATURES, generator=source, dtype=torch.float64).to(dtype)
    return inputs, torch.randint(CLASSES, (replicas, samples), generator=source)


def unsettled(name="relu", **more):
    """In a state other than that of initialisation."""
    network = stacked(name, **more)
    source = torch.Generator().manual_seed(1)
    for bias in network.biases:
        bias += torch.randn(bias.shape, generator=source) / 5
    for norm in network.norms:
        norm.weight.uniform_(0.5, 2, generator=source)
        norm.bias.uniform_(-1, 1, generator=source)
        norm.running_mean.uniform_(-1, 1, generator=source)
        norm.running_var.uniform_(0.5, 2, generator=source)
    return network
