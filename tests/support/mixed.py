"""Groups of replicas with several activations and datasets, of one shape, as a stack takes them."""

import functools
from pathlib import Path

import torch

import small
from activation_study.activations.activation import from_entry
from activation_study.activations.theory import constants
from activation_study.core.factors import Factors
from activation_study.data.split import make_split
from activation_study.networks.mlp import StackedMLP
from activation_study.study.config import read
from activation_study.training.group import ReplicaGroup
from activation_study.training.records import Clock, Plan, Record, Replica

ACTIVATIONS = read(Path(__file__).resolve().parents[2] / "config.yaml")["activations"]
"""Those of the default study, and one that it has not."""
FEATURES = (12, 7)
CLASSES, BATCH, STEPS = 3, 16, 50
PLAN = Plan([0, 1, 20, STEPS], frozenset([0, STEPS]), 16)
ENTRY = {"source": "npz", "path": "b.npz", "target": 0.6, "max_train": None, "max_test": None}


@functools.cache
def activation(name):
    made = from_entry(name, ACTIVATIONS[name])
    return made, constants(made)


@functools.cache
def split(features, seed):
    return make_split(small.blobs(features=features), name=f"b{features}", dataset_entry=ENTRY, replicate_seed=seed)


def group(name, features=12, rates=(0.01, 0.03), *, plan=PLAN, dtype=torch.float64, device="cpu", **factors):
    """One replica for each learning rate, each with a seed of its own."""
    kinds = Factors(activation=name, dataset="b", **({"depth": 2, "width": 8, "batch_size": BATCH} | factors))
    seeds = [10 * features + place for place in range(len(rates))]
    records = [
        Record(Replica("tuning", place, rate, seed, split(features, seed)))
        for place, (seed, rate) in enumerate(zip(seeds, rates, strict=True))
    ]
    network = StackedMLP(*_shape(name, kinds), features, CLASSES, seeds, dtype=dtype, device=device)
    return ReplicaGroup(network, records, kinds, plan, Clock())


def _shape(name, factors):
    made, found = activation(name)
    return made, factors, found


def groups(names=ACTIVATIONS, **more):
    """Each activation on each of the datasets, those of one activation together."""
    return [group(name, features, **more) for name in names for features in FEATURES]


def results(one):
    """What became of each replica."""
    return [(r.curve, r.layers, r.status, r.diverged_step) for r in one.members]


def assert_same(found, expected, rtol=1e-9):
    """Two groups that were trained alike: their curves, networks and optimisers."""
    assert found.step == expected.step
    for one, other in zip(found.members, expected.members, strict=True):
        assert (one.status, one.diverged_step) == (other.status, other.diverged_step)
        curves = torch.tensor(one.curve, dtype=torch.float64), torch.tensor(other.curve, dtype=torch.float64)
        torch.testing.assert_close(*curves, rtol=rtol, atol=1e-12, equal_nan=True)
    for one, other in zip(_learned(found), _learned(expected), strict=True):
        torch.testing.assert_close(one, other, rtol=rtol, atol=1e-2 * rtol)


def _learned(group):
    """All that training changes; of Adam under normalisation the weights alone. What the next normalisation takes out
    again has rounding errors for its gradient, and Adam makes of them what it likes."""
    network = group.network
    if network.norms and group.factors.optimiser == "adam":
        return network.weights
    return network.state + group.optimiser.state
