"""A group of replicas, trained together as one batched network, with the record of what happened to each."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from activation_study.core.factors import Factors
from activation_study.networks.base import Network
from activation_study.networks.lockstep import can_hold
from activation_study.quantities.base import Moment, Recorder, measurements
from activation_study.quantities.probe import Probe
from activation_study.training.batches import TrainingPool
from activation_study.training.device import training_products
from activation_study.training.optimisers import Optimiser
from activation_study.training.records import Clock, Plan, Record

KEPT = ("curve", "layers", "measurements", "status", "diverged_step")  # of a record, in a checkpoint


OnEvaluation = Callable[["ReplicaGroup"], None]
Scores = tuple[Tensor, Tensor]


class Stateful(Protocol):
    """A part with a memory: ``state`` is stacked [R, ...], and ``load`` copies that of another one into it."""

    @property
    def state(self) -> list[Tensor]: ...

    def load(self, state: Sequence[Tensor]) -> None: ...


class ReplicaGroup:
    """R replicas in training. ``train`` may be called again to go on from where it stopped.

    Args:
        network: holds one replica for each record.
        records: of the replicas, in the network's order.
    """

    def __init__(
        self,
        network: Network,
        records: list[Record],
        factors: Factors,
        plan: Plan,
        clock: Clock,
        step: int = 0,
    ):
        self.network, self.records, self.factors, self.plan, self.clock = network, records, factors, plan, clock
        self.members = list(records)  # with those that diverge, which ``records`` loses
        self.rates = torch.tensor([record.replica.learning_rate for record in records], dtype=torch.float64)
        self.optimiser = Optimiser(factors.optimiser, network.parameters, self.rates, factors.clip)
        self.step = step
        batch = factors.batch_size
        splits = [record.replica.split for record in records]
        self.pool = TrainingPool(splits, network.seeds, batch, network.device, network.dtype)
        self._validation = self.samples("validation", records)
        self._probe: Probe | None = None
        self._measurements = [m for name, m in measurements().items() if name in plan.measure]
        self._recorders: dict[str, Recorder] = {
            m.name: m.follow(network.parameters) for m in self._measurements if m.follow is not None
        }

    def samples(
        self, part: str, records: Sequence[Record], at_most: int | None = None
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Those of each record, inputs [N, features] and labels [N]; records of one split share theirs."""
        moved: dict[int, tuple[Tensor, Tensor]] = {}
        for split in (record.replica.split for record in records):
            if id(split) not in moved:
                x, y = getattr(split, f"{part}_x")[:at_most], getattr(split, f"{part}_y")[:at_most]
                moved[id(split)] = x.to(self.network.device, self.network.dtype), y.to(self.network.device)
        pairs = [moved[id(record.replica.split)] for record in records]
        return [x for x, _ in pairs], [y for _, y in pairs]

    def train(self, until: int, on_evaluation: OnEvaluation = lambda group: None) -> None:
        """Train to step ``until``, looking at the plan's steps. A replica that diverges is recorded and dropped."""
        self.start()
        for stop in self.stops(until):
            if not self.records:
                return
            since = time.perf_counter()
            loss = self._advance(stop - self.step)
            alive = torch.isfinite(loss).tolist()  # waits for the device, so the time is the training's
            self.clock.charge("training", since, len(self.records) * (stop - self.step))
            self.arrive(stop, loss, alive, on_evaluation)

    def start(self) -> None:
        """The first look, if there was none yet."""
        if self.step == 0 and self.records and not self.records[0].curve:
            self._look(torch.full((self.network.replicas,), torch.nan, device=self.network.device))

    def stops(self, until: int) -> list[int]:
        """The steps up to ``until`` at which there is something to look at."""
        return [step for step in self.plan.evaluations if self.step < step <= until]

    def arrive(
        self, stop: int, loss: Tensor, alive: list[bool], on_evaluation: OnEvaluation, scores: Scores | None = None
    ) -> None:
        """Look at what the training up to a stop has made of the network and the optimiser.

        Args:
            loss: the mean loss since the stop before [R]. alive: whether it is finite.
            scores: loss and accuracy on the validation samples [R], where another has taken them. If all losses are
                finite and it is not ``needs_itself``, network and optimiser need not be those of the stop.
        """
        self.step = self.optimiser.step = stop
        self._drop(alive)
        if self.records:
            left = [i for i, fine in enumerate(alive) if fine]
            self._look(loss[left], scores and (scores[0][left], scores[1][left]))
        on_evaluation(self)  # without records too: else what is kept of it would be of an earlier step

    def needs_itself(self, stop: int) -> bool:
        """Whether more is looked at there than scores."""
        return stop in self.plan.probes or any(m.when == "evaluation" for m in self._measurements)

    @property
    def stacks(self) -> bool:
        """Whether a ``Stack`` can train it: nothing that happens in a step needs more than its networks."""
        return can_hold(self.network) and not self._recorders

    def _advance(self, steps: int) -> Tensor:
        """Train that many steps; the mean loss over them [R]."""
        network, optimiser = self.network, self.optimiser
        total = torch.zeros(network.replicas, dtype=network.dtype, device=network.device)
        with training_products():
            for offset, indices in enumerate(self.pool.order(self.step, steps).to(self.network.device)):
                inputs, labels = self.pool.gather(indices)
                network.draw(self.step + offset)
                optimiser.begin_step()
                total = total + network.loss_and_gradients(inputs, labels, optimiser.update)
                optimiser.end_step()
                for recorder in self._recorders.values():
                    recorder.step(network.parameters)
        return total / steps

    def _look(self, train_loss: Tensor, scores: Scores | None = None) -> None:
        """Evaluate on the validation samples, and probe when it is time; drop what the evaluation shows to be lost."""
        since = time.perf_counter()
        if self.step in self.plan.probes:
            loss, accuracy = self._measure()
            phase = "probe"
        else:
            loss, accuracy = scores or self.network.evaluate(*self._validation)
            phase = "validation"
        rows = zip(self.records, train_loss.tolist(), loss.tolist(), accuracy.tolist(), strict=True)
        for record, *row in rows:
            record.curve.append((self.step, *row))
        since = self.clock.charge(phase, since)
        if self.plan.measure:
            self._take("evaluation")
            if phase == "probe":
                self._take("probe")
            self.clock.charge("measurement", since)
        alive = torch.isfinite(loss).tolist()
        if not all(alive):
            for record, fine in zip(self.records, alive, strict=True):
                if not fine:
                    record.curve.pop()
                    record.layers.pop(self.step, None)
                    record.measurements = [taken for taken in record.measurements if taken[1] != self.step]
            self._drop(alive)

    def _measure(self) -> tuple[Tensor, Tensor]:
        if self._probe is None:
            self._probe = self._new_probe()
        loss, accuracy, metrics = self._probe.activations(self.network, *self._validation, first=self.step == 0)
        parts = metrics, self._probe.gradients(self.network)
        taken = [torch.stack([*part.values()], 1).tolist() for part in parts]  # each waits for the device once
        for record, *values in zip(self.records, *taken, strict=True):
            record.layers[self.step] = {
                name: column
                for part, columns in zip(parts, values, strict=True)
                for name, column in zip(part, columns, strict=True)
            }
        return loss, accuracy

    def _take(self, when: str) -> None:
        for measurement in (m for m in self._measurements if m.when == when):
            recorder = self._recorders.get(measurement.name)
            moment = Moment(self.network, self.rates, *self._validation, self._probe, recorder)
            for name, layer, dose, values in measurement.take(moment):
                for record, value in zip(self.records, values.tolist(), strict=True):
                    known = value if math.isfinite(value) else None
                    record.measurements.append((name, self.step, layer, dose, known))

    def _new_probe(self) -> Probe:
        inputs, labels = self.samples("train", self.records, self.plan.probe_samples)
        slope_max = float(self.network.constants["slope_max"])
        return Probe(self.network, slope_max, torch.stack(inputs), torch.stack(labels))

    def _drop(self, alive: Sequence[bool]) -> None:
        """Go on without the diverged replicas; the step is that of the evaluation which noticed."""
        if all(alive):
            return
        for record, fine in zip(self.records, alive, strict=True):
            if not fine:
                record.status, record.diverged_step = "diverged", self.step
        self._keep([index for index, fine in enumerate(alive) if fine])

    def _keep(self, kept: Sequence[int]) -> None:
        if not kept:
            self.records = []
            return
        rest = joined([(self, kept)])
        self.network, self.records, self.rates = rest.network, rest.records, rest.rates
        self.optimiser, self.pool = rest.optimiser, rest.pool
        self._validation, self._probe, self._recorders = rest._validation, rest._probe, rest._recorders

    @property
    def parts(self) -> dict[str, Stateful]:
        """All that has a memory of its replicas."""
        parts: dict[str, Stateful] = {"network": self.network, "optimiser": self.optimiser}
        if self._probe is not None:
            parts["probe"] = self._probe
        return parts | {f"{name} so far": recorder for name, recorder in self._recorders.items()}

    def state(self) -> dict[str, Any]:
        """All that ``restore`` needs, as tensors and plain values."""
        return {
            "step": self.step,
            "alive": [i for i, member in enumerate(self.members) if any(member is record for record in self.records)],
            "parts": {name: part.state for name, part in self.parts.items()},
            "records": [{name: copy.copy(getattr(r, name)) for name in KEPT} for r in self.members],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state``, that of a group of the same replicas, as if nothing had happened in between.

        Raises:
            Exception: it is no such state; of its steps and records nothing has been taken on then.
        """
        self._check(state)
        for record, values in zip(self.members, state["records"], strict=True):
            vars(record).update(values)
            record.curve = [(*point,) for point in record.curve]
            record.measurements = [(*taken,) for taken in record.measurements]
        if len(state["alive"]) < len(self.members):
            self._keep(state["alive"])
        self.step = state["step"]
        if not self.records:
            return
        self._take_on(state["parts"])

    def _take_on(self, parts: Mapping[str, Sequence[Tensor]]) -> None:
        """The state of each of the ``parts`` of a group of as many replicas at this step."""
        if "probe" in parts:
            self._probe = self._new_probe()
        for name, part in self.parts.items():
            _need([t.shape for t in parts[name]] == [t.shape for t in part.state], name)
            part.load(parts[name])
        self.optimiser.step = self.step

    def _check(self, state: Mapping[str, Any]) -> None:
        """Whether a group of these replicas and this plan can have been at that step with those records."""
        steps, step, alive = sorted({0, *self.plan.evaluations}), state["step"], state["alive"]
        _need(type(step) is int and step in steps, "step")
        looked = any(probe <= step for probe in self.plan.probes)
        _need({*state["parts"]} == {*self.parts, *(["probe"] if looked else [])}, "parts")
        _need(all(type(i) is int for i in alive), "alive")
        _need(alive == [i for i in range(len(self.members)) if i in alive], "alive")
        for i, (_, values) in enumerate(zip(self.members, state["records"], strict=True)):
            _need(set(values) == set(KEPT), "records")
            ended = values["diverged_step"]
            _need(values["status"] == ("finished" if i in alive else "diverged"), "status")
            _need(ended is None if i in alive else type(ended) is int and ended in steps, "diverged_step")
            seen = [look for look in steps if (look <= step if ended is None else look < ended)]
            _need(_of_types(values["curve"], "int float float float"), "curve")
            _need([point[0] for point in values["curve"]] == seen, "curve")
            _need(_of_types(values["measurements"], "str int int float|NoneType float|NoneType"), "measurements")
            _need(all(type(look) is int and look in seen for look in values["layers"]), "layers")
            lists = [column for metrics in values["layers"].values() for column in metrics.values()]
            _need(all(type(column) is list and {*map(type, column)} <= {float, bool} for column in lists), "layers")

    def score(self) -> None:
        """Final scores on the training (at most 1,000) and test samples, in evaluation mode."""
        since = time.perf_counter()
        for part, at_most in (("train", 1000), ("test", None)):
            inputs, labels = self.samples(part, self.records, at_most)
            total = torch.zeros(2, self.network.replicas, dtype=torch.float64)
            samples = len(labels[0])
            for start in range(0, samples, 1000):
                piece = slice(start, start + 1000)
                means = self.network.evaluate([x[piece] for x in inputs], [y[piece] for y in labels])
                total += torch.stack([mean.double().cpu() for mean in means]) * len(labels[0][piece])
            for record, loss, accuracy in zip(self.records, *(total / samples).tolist(), strict=True):
                record.scores |= {f"{part}_loss": loss, f"{part}_accuracy": accuracy}
        since = self.clock.charge("validation", since)
        if self.plan.measure:
            self._take("end")
            self.clock.charge("measurement", since)


def _need(fine: bool, what: str) -> None:
    if not fine:
        raise ValueError(f"its {what} cannot be")


def _of_types(rows: Any, types: str) -> bool:
    """Whether it is a list of rows of such values."""
    kinds = [kind.split("|") for kind in types.split()]
    return type(rows) is list and all(
        type(row) in (tuple, list)
        and len(row) == len(kinds)
        and all(type(value).__name__ in kind for value, kind in zip(row, kinds, strict=True))
        for row in rows
    )


def joined(parts: Sequence[tuple[ReplicaGroup, Sequence[int]]]) -> ReplicaGroup:
    """One group of the chosen replicas of some groups that stand at the same step, each with its whole state."""
    first = parts[0][0]
    records = [group.records[i] for group, chosen in parts for i in chosen]
    network = first.network.like([record.replica.seed for record in records])
    joint = ReplicaGroup(network, records, first.factors, first.plan, first.clock, step=first.step)
    rows = {name: _rows([(group.parts[name].state, chosen) for group, chosen in parts]) for name in first.parts}
    joint._take_on(rows)
    return joint


def _rows(parts: Sequence[tuple[list[Tensor], Sequence[int]]]) -> list[Tensor]:
    """The chosen replicas' rows of each stacked tensor, one part after the other."""
    rows = []
    for tensors, chosen in parts:
        if tensors and chosen:
            index = torch.tensor(list(chosen), device=tensors[0].device)
            rows.append([t.index_select(0, index) for t in tensors])
    return [torch.cat(same) for same in zip(*rows, strict=True)]
