"""Groups of several activations and datasets, trained in lockstep: on a GPU a step is one CUDA graph.

A stack takes the place of the loop over steps, and takes the scores of all groups at once. Where a group needs more, it
gets its networks and its optimiser back, looks at them and drops what is lost, as it does when it trains by itself.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import torch
from torch import Tensor

from activation_study.networks.lockstep import Lockstep, Part
from activation_study.networks.mlp import StackedMLP
from activation_study.training.device import training_products
from activation_study.training.flat import FlatOptimiser
from activation_study.training.graph import recorded
from activation_study.training.group import OnEvaluation, ReplicaGroup

STRETCH = 64
"""Steps whose batches are on the device at once."""


class _Lane:
    """A group in the stack: its slots, the samples that it draws from, and what it was when the stack was built."""

    def __init__(self, group: ReplicaGroup, start: int):
        self.group, self.pool = group, group.pool
        places = {id(member): place for place, member in enumerate(group.members)}
        self.part = Part(_network(group), start, len(places), [places[id(record)] for record in group.records])
        self.samples = group.samples("validation", group.members)
        self._slots = {id(record): start + places[id(record)] for record in group.records}
        self.drawn = self.slots  # those that the pool has batches for
        self.labels = self.pool.y.cpu()

    @property
    def slots(self) -> list[int]:
        """Where its present replicas are."""
        return [self._slots[id(record)] for record in self.group.records]


class Stack:
    """Replicas of several groups, trained together.

    Args:
        groups: with the same :func:`shape`, and together no more members than there are slots.
        slots: R; those that no group takes stay empty, so that all that is computed has a fixed shape.
    """

    def __init__(self, groups: Sequence[ReplicaGroup], slots: int):
        starts = [sum(len(group.members) for group in groups[:place]) for place in range(len(groups))]
        self.lanes = [_Lane(group, start) for group, start in zip(groups, starts, strict=True)]
        first = groups[0]
        self.step_number, self.batch, device = first.step, first.factors.batch_size, first.network.device
        self.network = Lockstep([lane.part for lane in self.lanes], slots, self.batch)
        self.rates = torch.zeros(slots, dtype=first.network.dtype, device=device)
        blocks = [(lane.part.rows, slice(0, self.network.row(lane.part))) for lane in self.lanes]
        flat, kind, clip = self.network.flat, first.factors.optimiser, first.factors.clip
        self.optimiser = FlatOptimiser(kind, flat, self.network.gradients, self.rates, clip, blocks)
        self.optimiser.count.fill_(first.step)
        self.total = torch.zeros_like(self.rates)
        self._validation = list(self._samples())
        numbers: dict[str, Any] = {"dtype": torch.int64, "device": device}
        self._at = torch.zeros(1, **numbers)
        self._batches = torch.zeros(STRETCH, 2, slots, self.batch, **numbers)  # samples and their labels
        self._batch = torch.zeros(1, 2, slots, self.batch, **numbers)
        self._starts = torch.zeros(STRETCH, len(self.network.starts), **numbers)
        self._drawn = torch.zeros_like(self._batches, device="cpu")
        self._uploaded = self.step_number
        for lane in self.lanes:
            self.rates[lane.slots] = lane.group.rates.to(self.rates)
            for mine, theirs in self._pairs(lane):
                if mine.shape == theirs.shape:
                    mine.copy_(theirs)
                else:
                    mine[lane.part.chosen] = theirs  # many kernels, where they have to be deterministic
        with training_products():
            self._go = recorded(self.step, self.state)

    @property
    def state(self) -> list[Tensor]:
        """All that a step changes and the next one reads."""
        running = [b for norm in self.network.norms for b in (norm.running_mean, norm.running_var)]
        return [self.network.flat, *running, *self.optimiser.states, self.optimiser.count, self.total, self._at]

    def train(
        self, until: int, on_evaluation: OnEvaluation, due: Callable[[ReplicaGroup], bool] = lambda group: True
    ) -> None:
        """Train all groups to step ``until``; each is as if it had trained alone, but for rounding.

        Args:
            on_evaluation: called with a group that has its networks and its optimiser of a stop: where it looks at more
                than scores, where it loses some, at its last stop, and where ``due`` says so.
        """
        stops = [set(lane.group.stops(until)) for lane in self.lanes]
        for stop in sorted(set().union(*stops)):
            if not any(lane.group.records for lane in self.lanes):
                return
            self._advance(stop)
            here = [lane for lane, own in zip(self.lanes, stops, strict=True) if stop in own and lane.group.records]
            found = self._scores([lane for lane in here if stop not in lane.group.plan.probes])
            for lane in here:
                last = not lane.group.stops(until)[1:]
                self._arrive(lane, stop, found, last or due(lane.group), on_evaluation)

    def _advance(self, stop: int) -> None:
        """Train to that step, and share the time among those who trained."""
        since, steps = time.perf_counter(), stop - self.step_number
        for step in range(self.step_number, stop):
            if step == self._uploaded:
                self._upload(step)
            self._go()
        if self.rates.is_cuda:
            torch.cuda.synchronize()
        self.step_number = stop
        seconds, replicas = time.perf_counter() - since, sum(len(lane.group.records) for lane in self.lanes)
        for lane in self.lanes:
            mine = len(lane.group.records)
            lane.group.clock.add("training", seconds * mine / replicas, mine * steps)

    def _upload(self, first: int) -> None:
        """The batches, and the places of the noise, of the stretch of steps from ``first``, in one piece.

        They are put together while the device still trains.
        """
        for lane in self.lanes:
            indices = lane.pool.order(first, STRETCH)
            self._drawn[:, 0, lane.drawn], self._drawn[:, 1, lane.drawn] = indices, lane.labels[indices]
        self._starts.copy_(torch.tensor([self.network.windows(step) for step in range(first, first + STRETCH)]))
        self._batches.copy_(self._drawn)
        self._at.zero_()
        self._uploaded = first + STRETCH

    def step(self) -> None:
        """Train one step. Nothing in it depends on a number that Python knows, so a graph may repeat it."""
        network = self.network
        torch.index_select(self._batches, 0, self._at, out=self._batch)
        network.starts.copy_(self._starts.index_select(0, self._at)[0])
        indices, labels = self._batch[0]
        for lane, inputs in zip(self.lanes, network.inputs, strict=True):
            chosen = indices[lane.part.rows].reshape(-1)
            torch.index_select(lane.pool.x, 0, chosen, out=inputs.view(len(chosen), -1))
        self.total.add_(network.differentiate(labels))
        self.optimiser.update()
        self._at.add_(1)

    def _samples(self) -> Iterator[tuple[Tensor, list[Tensor], list[Tensor]]]:
        """The validation samples and labels of every slot, for each number of samples; and which slots have so many."""
        for count in sorted({len(lane.samples[1][0]) for lane in self.lanes}):
            lanes = [lane for lane in self.lanes if len(lane.samples[1][0]) == count]
            mine = torch.zeros_like(self.rates, dtype=torch.bool)
            inputs = [self.rates.new_empty(count, 0)] * len(mine)
            labels = [torch.zeros_like(lanes[0].samples[1][0])] * len(mine)
            for lane in lanes:
                mine[lane.part.rows] = True
                inputs[lane.part.rows], labels[lane.part.rows] = lane.samples
            yield mine, inputs, labels

    def _scores(self, lanes: Sequence[_Lane]) -> Tensor:
        """Training loss, summed up, validation loss and accuracy of each slot [3, R], on the CPU: one wait for all.

        The last two are those of the ``lanes``.
        """
        since, found = time.perf_counter(), self.total.new_zeros(3, len(self.total), dtype=torch.float64)
        found[0] = self.total
        wanted = {len(lane.samples[1][0]) for lane in lanes}
        for mine, inputs, labels in self._validation:
            if len(labels[0]) in wanted:
                loss, accuracy = self.network.evaluate(inputs, labels)
                found[1:] = torch.where(mine, torch.stack([loss.double(), accuracy]), found[1:])
        found = found.cpu()
        seconds, replicas = time.perf_counter() - since, sum(len(lane.group.records) for lane in lanes)
        for lane in lanes:
            lane.group.clock.add("validation", seconds * len(lane.group.records) / replicas, 0)
        return found

    def _arrive(self, lane: _Lane, stop: int, found: Tensor, itself: bool, on_evaluation: OnEvaluation) -> None:
        group, slots = lane.group, lane.slots
        total, loss, accuracy = found[:, slots]
        fine = found[:2, slots].isfinite().all(0).tolist()
        itself = itself or group.needs_itself(stop) or not all(fine)
        if itself:
            inside = torch.tensor([slot - lane.part.start for slot in slots], device=self.rates.device)
            for mine, theirs in self._pairs(lane):
                theirs.copy_(mine if mine.shape == theirs.shape else mine.index_select(0, inside))
        self.total[lane.part.rows] = 0
        mean = total.to(self.rates.dtype) / (stop - group.step)
        alive = total.isfinite().tolist()
        group.arrive(stop, mean, alive, on_evaluation if itself else lambda group: None, (loss, accuracy))
        for lost in {*slots} - {*lane.slots}:
            self.rates[lost] = 0

    def _pairs(self, lane: _Lane) -> Iterator[tuple[Tensor, Tensor]]:
        """What the stack has of a group [slots of its part, ...], with the group's own [replicas, ...]."""
        yield from zip(self.network.blocks(lane.part), lane.group.network.state, strict=True)
        views = [self.network.views(state, lane.part) for state in self.optimiser.states]
        yield from zip([v for same in zip(*views, strict=True) for v in same], lane.group.optimiser.state, strict=True)


def shape(group: ReplicaGroup) -> tuple[Any, ...] | None:
    """What groups must have in common to be trained in one stack; None if a group cannot be."""
    if not group.stacks or not group.records:
        return None
    factors, network = group.factors, group.network
    names = ("depth", "width", "batch_size", "optimiser", "normalisation", "clip")
    return group.step, network.classes, *(getattr(factors, name) for name in names)


def stacked(groups: Sequence[ReplicaGroup], slots: int) -> Iterator[list[ReplicaGroup]]:
    """The groups, of one shape, divided among stacks of so many slots; those of one activation are neighbours."""
    chosen: list[ReplicaGroup] = []
    for group in sorted(groups, key=_activation):
        if chosen and sum(len(other.members) for other in [*chosen, group]) > slots:
            yield chosen
            chosen = []
        chosen.append(group)
    if chosen:
        yield chosen


def _activation(group: ReplicaGroup) -> str:
    return json.dumps(_network(group).activation.entry, sort_keys=True)


def _network(group: ReplicaGroup) -> StackedMLP:
    """Which it is, as ``stacks`` says."""
    return cast(StackedMLP, group.network)
