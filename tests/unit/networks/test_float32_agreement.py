"""In float32 the study's trainer and plain PyTorch give the same distribution of outcomes over seeds.

Trajectories are not compared number by number in float32: sums are taken in another order, and training amplifies the
last bits until two correct programs differ in every digit. Step-by-step equality is tested in float64; here two
samples of seeds, no seed in both, must not be told apart by a rank test, which is shown to tell apart what is wrong.
"""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.stats import mannwhitneyu
from torch import nn

import small
from activation_study.data.split import make_split
from activation_study.networks.mlp import StackedMLP
from activation_study.training.group import ReplicaGroup
from activation_study.training.records import Clock, Plan, Record, Replica
from stacks import factors_of

pytestmark = pytest.mark.slow
SEEDS, STEPS, BATCH, RATE = 192, 60, 16, 0.005
LEVEL = 0.01  # a correct trainer fails for one choice of the seeds in a hundred
POWER = 0.9  # with which each planted fault is found, at that level
FEATURES, CLASSES, DEPTH, WIDTH = 12, 3, 2, 32


@pytest.fixture(scope="module")
def split():
    """One for all, easy, and still being learned at the last step: the loss then depends on every step."""
    arrays = small.blobs(600, official_test=True, noise=0.5)
    return make_split(arrays, name="blobs", dataset_entry={"source": "npz"}, replicate_seed=0)


def _ours(split, first_seed, rate=RATE, rule="momentum", gain=1.0):
    """Final validation losses [SEEDS] of the study's trainer, all replicas as one batched network."""
    factors = factors_of(depth=DEPTH, width=WIDTH, batch_size=BATCH, optimiser=rule)
    seeds = range(first_seed, first_seed + SEEDS)
    records = [Record(Replica("tuning", i, rate, seed, split)) for i, seed in enumerate(seeds)]
    constants = small.CONSTANTS["relu"] | {"gain": gain * small.CONSTANTS["relu"]["gain"], "slope_max": 1.0}
    activation = small.training(small.run()).activation
    network = StackedMLP(activation, factors, constants, FEATURES, CLASSES, list(seeds))
    chunk = ReplicaGroup(network, records, factors, Plan([0, STEPS], frozenset(), 1), Clock())
    chunk.train(STEPS)
    return np.array([record.curve[-1][2] for record in chunk.records])


@pytest.fixture(scope="module")
def plain(split):
    """The same of nn.Sequential, autograd and torch.optim, one network after the other."""
    losses = []
    for seed in range(SEEDS):
        torch.manual_seed(10_000 + seed)
        sizes = [FEATURES, *[WIDTH] * DEPTH, CLASSES]
        layers = [nn.Linear(*pair) for pair in pairwise(sizes)]
        for layer in layers:
            scale = 1.0 if layer is layers[0] else math.sqrt(2)
            nn.init.normal_(layer.weight, std=scale / math.sqrt(layer.in_features))
            nn.init.zeros_(layer.bias)
        model = nn.Sequential(*[part for layer in layers[:-1] for part in (layer, nn.ReLU())], layers[-1])
        rule = torch.optim.SGD(model.parameters(), lr=RATE, momentum=0.9)
        order = torch.cat([torch.randperm(len(split.train_y)) for _ in range(1 + STEPS * BATCH // len(split.train_y))])
        for batch in order.split(BATCH)[:STEPS]:
            rule.zero_grad()
            nn.functional.cross_entropy(model(split.train_x[batch]), split.train_y[batch]).backward()
            rule.step()
        with torch.no_grad():
            losses.append(nn.functional.cross_entropy(model(split.validation_x), split.validation_y).item())
    return np.array(losses)


@pytest.fixture(scope="module")
def ours(split):
    return _ours(split, 0)


def _p(one, other):
    return mannwhitneyu(one, other, axis=-1).pvalue


def _power(one, other):
    """The share of pairs of samples, drawn anew from both distributions, that are told apart."""
    source = np.random.default_rng(0)
    redrawn = [source.choice(sample, (1000, SEEDS)) for sample in (one, other)]
    return np.mean(_p(*redrawn) < LEVEL)


def test_the_distribution_of_final_losses_is_that_of_plain_pytorch(ours, plain):
    assert _p(ours, plain) > LEVEL
    assert _power(np.concatenate([ours, plain]), np.concatenate([ours, plain])) < 3 * LEVEL, "false alarms"


@pytest.mark.parametrize(
    "fault",
    [{"rate": 0.9 * RATE}, {"rate": 1.1 * RATE}, {"rule": "sgd"}, {"gain": 0.9}],
    ids=["rate 10% low", "rate 10% high", "no momentum", "initial weights 10% small"],
)
def test_a_fault_would_be_found(split, ours, plain, fault):
    wrong = _ours(split, 0, **fault)
    assert _p(wrong, plain) < LEVEL
    assert _power(wrong, ours) > POWER  # of the same seeds: so the fault's effect is known more exactly
