"""What a run's replicas are, when they are looked at, and what is noted of each."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from activation_study.data.split import Split


@dataclass(frozen=True)
class Replica:
    """One network of a run: a seed and a learning rate, and what the seed decides."""

    role: str
    replicate: int
    learning_rate: float
    seed: int
    split: Split = field(repr=False)


@dataclass
class Record:
    """What one replica did. ``curve`` has (step, train loss, validation loss, validation accuracy) per evaluation.

    ``measurements`` has (measurement, step, layer, dose, value).
    """

    replica: Replica
    curve: list[tuple[int, float, float, float]] = field(default_factory=list)
    layers: dict[int, dict[str, list[float]]] = field(default_factory=dict)
    status: str = "finished"
    diverged_step: int | None = None
    scores: dict[str, float] = field(default_factory=dict)
    measurements: list[tuple[str, int, int, float | None, float | None]] = field(default_factory=list)


class Clock:
    """Seconds by phase; a phase inside another one is not counted twice."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.replica_steps: dict[str, int] = {}

    def charge(self, phase: str, since: float, replica_steps: int = 0) -> float:
        """Add the time since ``since`` to the phase; returns the time now."""
        now = time.perf_counter()
        self.add(phase, now - since, replica_steps)
        return now

    def add(self, phase: str, seconds: float, replica_steps: int) -> None:
        """Add seconds that the phase took."""
        self.seconds[phase] = self.seconds.get(phase, 0.0) + seconds
        self.replica_steps[phase] = self.replica_steps.get(phase, 0) + replica_steps


@dataclass
class Plan:
    """When to look: evaluation and probe steps, all replicas of a run alike."""

    evaluations: Sequence[int]
    probes: frozenset[int]
    probe_samples: int
    measure: frozenset[str] = frozenset()
