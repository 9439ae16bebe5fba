"""One run: tune the learning rate on tuning seeds, then train fresh evaluation seeds at each rate that counts."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from activation_study.activations.activation import Activation
from activation_study.core.factors import Factors, Settings
from activation_study.core.seeds import seed_of
from activation_study.data.arrays import Arrays
from activation_study.data.split import Split, make_split, varies_by_replicate
from activation_study.networks.base import Layer, architecture
from activation_study.networks.initialisation import unit_variance
from activation_study.quantities.curves import log_spaced_steps, probe_steps
from activation_study.training.batches import batch_order
from activation_study.training.checkpoint import Checkpoint
from activation_study.training.group import ReplicaGroup, joined
from activation_study.training.records import Clock, Plan, Record, Replica
from activation_study.training.rows import Rows, Trained, rows_of, timing_rows
from activation_study.training.selection import ranked, weighed

TUNING_LOOKS = 5
"""Evaluations per decade, at most, of tuning replicas whose last accuracy alone decides: they show divergence."""


class Phase(NamedTuple):
    """Groups that train to step ``until``, by their names in the checkpoint."""

    groups: dict[str, ReplicaGroup]
    until: int


class RunTraining:
    """All replicas of one run.

    Args:
        params: ``Run.params``, the run's identity and settings as plain values.
        activation, constants: the activation and its constants (``theory.constants``).
        arrays: the dataset.
        log: takes one line of text at a time.
        checkpoint: where an interrupted training goes on from; None keeps nothing.
    """

    def __init__(
        self,
        params: Mapping[str, Any],
        activation: Activation,
        constants: Mapping[str, Any],
        arrays: Arrays,
        device: torch.device,
        log: Callable[[str], None] = lambda line: None,
        dtype: torch.dtype = torch.float32,
        checkpoint: Checkpoint | None = None,
    ):
        self.params = params
        self.factors = Factors.model_validate(params["factors"])
        self.settings = Settings.model_validate(params["settings"])
        self.activation, self.constants, self.arrays = activation, constants, arrays
        self.device, self.dtype, self.log, self.clock = device, dtype, log, Clock()
        self.rates = list(self.settings.learning_rates)
        self.steps = self.factors.steps
        self.splits: dict[int, Split] = {}
        self.checkpoint = checkpoint or Checkpoint(None, {}, device)
        self._parameters, self._layers = 0, list[Layer]()

    def rows(self) -> Rows:
        """Train everything; the rows of ``runs``, ``curves``, ``layers``, ``measurements`` and ``timings``."""
        phases = self.phases()
        while True:
            try:
                phase = next(phases)
            except StopIteration as end:
                return cast(Rows, end.value)
            for name, group in phase.groups.items():
                self.checkpoint.restore(name, group)
                group.train(phase.until, partial(self.checkpoint.keep, name))
                self.note(name, group)

    def phases(self) -> Generator[Phase, None, Rows]:
        """What ``rows`` does, for another who trains: the groups of each phase have to be at its end before the next.

        That one restores a group from the checkpoint before, keeps it there at evaluations and notes its end.
        """
        tuning = yield from self._tune()
        weights = weighed(*self._tuned(tuning, self.steps))
        selected = max(weights, key=weights.__getitem__)
        told = ", ".join(f"{rate:g} ({weight:.2g})" for rate, weight in weights.items())
        self.log(f"selected learning rate {selected:g}; those that count, of {len(self.rates)}, by weight: {told}")
        plan, others = self._plan("evaluation"), [rate for rate in weights if rate != selected]
        evaluation, groups = self._grouped("evaluation", self._replicas("evaluation", [selected]), plan)
        bare = replace(plan, probes=frozenset(), measure=frozenset())
        beside, more = self._grouped("evaluation beside", self._replicas("evaluation", others), bare)
        groups |= more
        yield Phase(groups, self.steps)
        for group in groups.values():
            if group.records:
                group.score()
        evaluations = {role: self._plan(role).evaluations for role in ("tuning", "evaluation")}
        trained = Trained(
            self.params["id"],
            self.factors,
            self.settings,
            self.arrays.classes,
            evaluations,
            weights,
            self._parameters,
            self._layers,
        )
        rows = rows_of(trained, tuning + evaluation + beside)
        product = f"{self.device.type} {torch.get_float32_matmul_precision()}"
        return rows | {"timings": timing_rows(self.params["id"], self.clock, product)}

    def _replicas(self, role: str, rates: list[float]) -> list[Replica]:
        factors = self.factors
        count = self.settings.tuning_seeds if role == "tuning" else self.settings.evaluation_seeds
        stream = self.settings.stream_of(factors)
        seeds = [seed_of(factors.dataset, factors.depth, role, replicate, stream) for replicate in range(count)]
        return [Replica(role, i, rate, seed, self._split(seed)) for i, seed in enumerate(seeds) for rate in rates]

    def _split(self, seed: int) -> Split:
        key = seed if varies_by_replicate(self.arrays, self.factors.train_size) else 0
        if key not in self.splits:
            since = time.perf_counter()
            self.splits[key] = make_split(
                self.arrays,
                name=self.factors.dataset,
                dataset_entry=self.settings.dataset.model_dump(),
                replicate_seed=key,
                train_size=self.factors.train_size,
                input_transform=self.factors.input_transform,
                input_shift=self.factors.input_shift,
                max_validation=self.settings.max_validation,
            )
            self.clock.charge("data", since)
        return self.splits[key]

    @property
    def splits_of(self) -> tuple[object, ...]:
        """What its ``splits`` depend on but for the seed: runs of one study that agree in it may share them."""
        settings = self.settings
        return *self.factors.splits_of, settings.dataset.model_dump_json(), settings.max_validation

    @property
    def group_size(self) -> int:
        """How many replicas train as one batched network; on a GPU, together with those of other runs."""
        return getattr(self.settings.replicas_per_chunk, self.device.type)

    def _plan(self, role: str) -> Plan:
        """Only evaluation replicas are probed, and those at the selected rate alone."""
        settings, tuning = self.settings, role == "tuning"
        often = settings.evaluations_per_decade
        seldom = min(often, TUNING_LOOKS) if tuning and self.factors.select == "accuracy" else often
        probed = [] if tuning else probe_steps(self.steps, settings.probes_per_decade)
        looks = sorted({*log_spaced_steps(self.steps, seldom), *probed, self._pruning_step})
        measure = [] if tuning else settings.measure
        return Plan(looks, frozenset(probed), settings.probe_samples, frozenset(measure))

    @property
    def _pruning_step(self) -> int:
        return max(1, round(self.steps * self.settings.pruning.after))

    def _grouped(self, name: str, replicas: list[Replica], plan: Plan) -> tuple[list[Record], dict[str, ReplicaGroup]]:
        """The records of the replicas, and the groups that train them, by their names in the checkpoint."""
        size = self.group_size
        everyone, groups = [Record(replica) for replica in replicas], {}
        for start in range(0, len(replicas), size):
            records = everyone[start : start + size]
            network = architecture(self.factors.network, self.settings.network).build(
                self.activation,
                self.factors,
                self.constants,
                records[0].replica.split.train_x.shape[1],
                self.arrays.classes,
                [record.replica.seed for record in records],
                shape=records[0].replica.split.shape,
                dtype=self.dtype,
                device=self.device,
            )
            if self.factors.initialisation == "lsuv":
                unit_variance(network, [self._first_batch(record.replica) for record in records])
            if network.depth != self.factors.depth:  # the tables cut hidden layers at the factor
                raise ValueError(f"network {self.factors.network}: {network.depth} layers, not {self.factors.depth}")
            groups[f"{name} {start}"] = ReplicaGroup(network, records, self.factors, plan, self.clock)
            self._parameters, self._layers = network.parameter_count, list(network.layers)
        return everyone, groups

    def _first_batch(self, replica: Replica) -> Tensor:
        """The inputs of its first training step [B, features]."""
        inputs = replica.split.train_x
        order = batch_order(replica.seed, len(inputs), self.factors.batch_size, 0, 1)
        return inputs[order[0]].to(self.device, self.dtype)

    def note(self, name: str, group: ReplicaGroup) -> None:
        """Keep and log that a group has come to the end of a phase."""
        self.checkpoint.keep(name, group)
        losses = [record.curve[-1][2] for record in group.records]
        shown = f"validation loss {min(losses):.3f} to {max(losses):.3f}" if losses else "all diverged"
        self.log(f"{name}: {len(losses)} replicas at step {group.step} of {self.steps}: {shown}")

    def _tuned(self, records: list[Record], step: int) -> tuple[Any, ...]:
        """What the rules of ``selection`` take of the tuning up to a step."""
        evaluations = [look for look in self._plan("tuning").evaluations if look <= step]
        target = self.settings.dataset.target
        return records, self.rates, self.factors.select, self.arrays.classes, target, evaluations

    def _tune(self) -> Generator[Phase, None, list[Record]]:
        """Every rate on every tuning seed; after a part of the steps only the best rates go on."""
        records, groups = self._grouped("tuning", self._replicas("tuning", self.rates), self._plan("tuning"))
        keep = self.settings.pruning.keep
        if keep >= len(self.rates):
            yield Phase(groups, self.steps)
            return records
        yield Phase(groups, self._pruning_step)
        kept = sorted(ranked(*self._tuned(records, self._pruning_step))[:keep])
        self.log(f"learning rates that go on after step {self._pruning_step}: {', '.join(f'{r:g}' for r in kept)}")
        for record in records:
            if record.replica.learning_rate not in kept and record.status == "finished":
                record.status = "pruned"
        survivors = [
            (group, i)
            for group in groups.values()
            for i, record in enumerate(group.records)
            if record.replica.learning_rate in kept
        ]
        rest = {}
        for start in range(0, len(survivors), self.group_size):
            chosen: dict[int, tuple[ReplicaGroup, list[int]]] = {}
            for group, i in survivors[start : start + self.group_size]:
                chosen.setdefault(id(group), (group, []))[1].append(i)
            rest[f"tuning survivors {start}"] = joined(list(chosen.values()))
        yield Phase(rest, self.steps)
        return records
