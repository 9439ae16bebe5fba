"""The study's own training, as its training jobs do it: a chunk of replicas on the modules of src/."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

import data
from activation_study.activations.activation import from_entry
from activation_study.activations.theory import constants
from activation_study.core.factors import Factors
from activation_study.networks.mlp import StackedMLP
from activation_study.quantities.curves import log_spaced_steps, probe_steps
from activation_study.study.study import Study
from activation_study.training.group import ReplicaGroup
from activation_study.training.records import Clock, Plan, Record, Replica

DEFAULT = Study.from_file(Path(__file__).resolve().parents[1] / "config.yaml")
SETTINGS = DEFAULT.config.training
REPLICAS = SETTINGS.replicas_per_chunk.cpu
DEPTHS = (5, 20)  # at which the experiment `core` trains every activation


def core(depth: int) -> Factors:
    """Those of a run of that depth in the default study's experiment ``core``."""
    runs = (DEFAULT.runs[run].factors for experiment, run in DEFAULT.membership if experiment == "core")
    return next(factors for factors in runs if factors.depth == depth)


def core_steps(depth: int) -> int:
    """How many steps it trains networks of that depth."""
    return core(depth).steps


def core_activations() -> list[str]:
    """Those that it trains at every depth of ``DEPTHS``."""
    core = (DEFAULT.runs[run].factors for experiment, run in DEFAULT.membership if experiment == "core")
    return list(dict.fromkeys(factors.activation for factors in core if factors.depth in DEPTHS))


def chunk(
    *,
    depth: int,
    width: int,
    batch: int,
    optimiser: str,
    activation: str = "ReLU",
    replicas: int = REPLICAS,
    clip: float | None = None,
    evaluations: Sequence[int] = (),
    probes: Sequence[int] = (),
    rate: float | None = None,
    device: str = "cpu",
) -> ReplicaGroup:
    """Replicas with a seed and a learning rate each: rates of their own, as in tuning, are the slower case."""
    split = data.split()
    factors = Factors(
        activation=activation,
        dataset="any",
        depth=depth,
        width=width,
        batch_size=batch,
        optimiser=optimiser,
        clip=clip,
    )
    chosen = from_entry(activation, {"class": activation})
    rates = [rate] * replicas if rate else torch.logspace(-4, -3, replicas).tolist()
    records = [Record(Replica("tuning", i, rate, i, split)) for i, rate in enumerate(rates)]
    shape = chosen, factors, constants(chosen), split.train_x.shape[1], split.classes
    network = StackedMLP(*shape, [*range(replicas)], device=device)
    plan = Plan(sorted({*evaluations, *probes}), frozenset(probes), SETTINGS.probe_samples)
    return ReplicaGroup(network, records, factors, plan, Clock())


def advance(chunk: ReplicaGroup, steps: int) -> float:
    """Train that many steps and evaluate once; the seconds of the steps alone.

    Raises:
        RuntimeError: a replica diverged, so the chunk is smaller than what is measured.
    """
    replicas, before = len(chunk.records), chunk.clock.seconds.get("training", 0.0)
    chunk.plan.evaluations = [chunk.step + steps]
    chunk.train(chunk.step + steps)
    if len(chunk.records) < replicas:
        raise RuntimeError(f"{replicas - len(chunk.records)} of {replicas} replicas diverged")
    return chunk.clock.seconds["training"] - before


def default_looks(steps: int) -> tuple[list[int], list[int]]:
    """The steps of the evaluations and of the probes with the default study's settings."""
    pruned = max(1, round(steps * SETTINGS.pruning.after))
    evaluations = {*log_spaced_steps(steps, SETTINGS.evaluations_per_decade), pruned}
    return sorted(evaluations), probe_steps(steps, SETTINGS.probes_per_decade)
