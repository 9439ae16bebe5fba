"""What the replicas of a run did, as rows of the tables."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from activation_study.core.factors import Factors, Settings
from activation_study.networks.base import Layer
from activation_study.quantities.base import POSITIONS, SAMPLES
from activation_study.training.records import Clock, Record
from activation_study.training.selection import record_area, record_time

Rows = dict[str, list[dict[str, Any]]]
CURVE = ("step", "train_loss", "validation_loss", "validation_accuracy")
MEASUREMENT = ("measurement", "step", "layer", "dose", "value")
SCORES = ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy", "test_loss", "test_accuracy")


@dataclass(frozen=True)
class Trained:
    """What the rows of one run have in common.

    Attributes:
        evaluations: the steps of each role. weights: of the learning rates that count, in ascending order.
        parameters, layers: trained parameters of one network, and its layers, output last.
    """

    run: str
    factors: Factors
    settings: Settings
    classes: int
    evaluations: Mapping[str, Sequence[int]]
    weights: Mapping[float, float]
    parameters: int
    layers: Sequence[Layer]

    @property
    def selected(self) -> float:
        """The learning rate of the largest weight, of equal ones the smaller."""
        return max(self.weights, key=self.weights.__getitem__)


def rows_of(trained: Trained, records: Sequence[Record]) -> Rows:
    """The rows of ``runs``, ``curves``, ``layers`` and ``measurements``."""
    rows: Rows = {"runs": [], "curves": [], "layers": [], "measurements": []}
    for record in records:
        replica = record.replica
        key = {
            "run": trained.run,
            "role": replica.role,
            "replicate": replica.replicate,
            "learning_rate": replica.learning_rate,
        }
        rows["runs"].append(key | _run_row(trained, record))
        rows["curves"] += [key | dict(zip(CURVE, point, strict=True)) for point in record.curve]
        rows["layers"] += [key | row for row in _layer_rows(trained, record)]
        rows["measurements"] += [key | dict(zip(MEASUREMENT, taken, strict=True)) for taken in record.measurements]
    return rows


def timing_rows(run: str, clock: Clock, device: str) -> list[dict[str, Any]]:
    """The rows of ``timings``: seconds and replica-steps of each phase."""
    return [
        {"run": run, "phase": phase, "seconds": seconds, "replica_steps": clock.replica_steps[phase], "device": device}
        for phase, seconds in clock.seconds.items()
    ]


def no_data_rows(params: Mapping[str, Any]) -> Rows:
    """The rows of a run whose dataset cannot be had: none, but one that says so."""
    row = dict.fromkeys(SCORES) | {
        "run": params["id"],
        "role": "evaluation",
        "replicate": 0,
        "learning_rate": 0.0,
        **Factors.model_validate(params["factors"]).model_dump(),
        "selected": False,
        "weight": 0.0,
        "edge": False,
        "status": "no_data",
        "steps_done": 0,
        "diverged_step": None,
        "time_to_target": None,
        "reached": None,
        "target": params["settings"]["dataset"]["target"],
        "horizon": params["factors"]["steps"],
        "area_under_loss": None,
        "parameters": 0,
        "classes": 0,
        "train_samples": 0,
    }
    return {"runs": [row], "curves": [], "layers": [], "measurements": [], "timings": []}


def _run_row(trained: Trained, record: Record) -> dict[str, Any]:
    replica, settings = record.replica, trained.settings
    rates, target = settings.learning_rates, settings.dataset.target
    reached = record_time(record, target) if record.status != "pruned" else math.inf
    return {
        **trained.factors.model_dump(),
        "selected": replica.learning_rate == trained.selected,
        "weight": trained.weights.get(replica.learning_rate, 0.0),
        "edge": len(rates) > 1 and trained.selected in (rates[0], rates[-1]),
        "status": record.status,
        "steps_done": record.diverged_step if record.status == "diverged" else record.curve[-1][0],
        "diverged_step": record.diverged_step,
        **_scores(record, trained.classes),
        "time_to_target": reached if math.isfinite(reached) else None,
        "reached": None if record.status == "pruned" else math.isfinite(reached),
        "target": target,
        "horizon": trained.factors.steps,
        "area_under_loss": None
        if record.status == "pruned"
        else record_area(record, trained.evaluations[replica.role], trained.classes),
        "parameters": trained.parameters,
        "classes": trained.classes,
        "train_samples": len(replica.split.train_y),
    }


def _scores(record: Record, classes: int) -> dict[str, float | None]:
    """Final scores. A pruned replica has none; a diverged one has those of guessing, where a finished one has any."""
    scores: dict[str, float | None] = dict.fromkeys(SCORES)
    if record.status == "diverged":
        parts = ("validation",) if record.replica.role == "tuning" else ("train", "validation", "test")
        for part in parts:
            scores |= {f"{part}_loss": math.log(classes), f"{part}_accuracy": 1 / classes}
    elif record.status == "finished":
        scores |= record.scores | {"validation_loss": record.curve[-1][2], "validation_accuracy": record.curve[-1][3]}
    return scores


def _layer_rows(trained: Trained, record: Record) -> Iterator[dict[str, Any]]:
    for step, metrics in record.layers.items():
        for number, layer in enumerate(trained.layers, 1):
            hidden = number < len(trained.layers)
            # The output layer has weights, but neither an activation nor a pre-activation's gradient.
            row = {name: values[number - 1] if number <= len(values) else None for name, values in metrics.items()}
            row["gradient_zero"] = bool(row["gradient_zero"]) if hidden else None
            yield row | {
                "step": step,
                "layer": number,
                "units": layer.units,
                "samples": min(SAMPLES, len(record.replica.split.validation_y)) * min(POSITIONS, layer.positions),
            }
