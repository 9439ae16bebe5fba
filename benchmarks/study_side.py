"""The study's own training, as its training jobs do it: a chunk of replicas on the modules of src/."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import data
import torch

from activation_study.activations import from_entry
from activation_study.chunks import Chunk, Clock, Plan, Record, Replica
from activation_study.convergence import log_spaced_steps
from activation_study.networks import StackedMLP
from activation_study.study import validated
from activation_study.theory import constants

REPLICAS = 8  # training.replicas_per_chunk.cpu by default; the run asserts it


def settings() -> dict[str, Any]:
    """The defaults of the config's ``training``."""
    smallest = {
        "study": "defaults",
        "activations": {"relu": {"class": "ReLU"}},
        "datasets": {"digits": {"source": "digits", "target": 0.9}},
        "experiments": {"core": {"depth": 1}},
    }
    found = validated(smallest)["training"]
    assert found["replicas_per_chunk"]["cpu"] == REPLICAS, "benchmarks/study_side.py: REPLICAS is not the default"
    return found


def chunk(
    *,
    depth: int,
    width: int,
    batch: int,
    optimiser: str,
    activation: str = "ReLU",
    replicas: int = REPLICAS,
    evaluations: Sequence[int] = (),
    probes: Sequence[int] = (),
) -> Chunk:
    """Replicas with a seed and a learning rate each: rates of their own, as in tuning, are the slower case."""
    split = data.split()
    factors = {
        "depth": depth,
        "width": width,
        "batch_size": batch,
        "optimiser": optimiser,
        "initialisation": "gain",
        "normalisation": "none",
        "initial_bias": 0.0,
        "centred": False,
    }
    chosen = from_entry(activation, {"class": activation})
    rates = torch.logspace(-4, -3, replicas).tolist()
    records = [Record(Replica("tuning", i, rate, i, split)) for i, rate in enumerate(rates)]
    network = StackedMLP(chosen, factors, constants(chosen), split.train_x.shape[1], split.classes, [*range(replicas)])
    plan = Plan(sorted({*evaluations, *probes}), frozenset(probes), settings()["probe_samples"])
    return Chunk(network, records, factors, plan, Clock())


def default_looks(steps: int) -> tuple[list[int], list[int]]:
    """The steps of the evaluations and of the probes with the default settings."""
    found = settings()
    evaluations = {*log_spaced_steps(steps, found["evaluations_per_decade"]), round(steps * found["pruning"]["after"])}
    return sorted(evaluations), log_spaced_steps(steps, found["probes_per_decade"])
