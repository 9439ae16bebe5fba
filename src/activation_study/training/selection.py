"""Which learning rates a run goes on with: those that are best on its tuning seeds, for accuracy or for speed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from activation_study.core.tuning import rate_weights
from activation_study.quantities.curves import area_under_loss, time_to_target
from activation_study.training.records import Record

Criterion = Literal["accuracy", "speed"]


def ranked(
    records: Sequence[Record],
    rates: Sequence[float],
    criterion: Criterion,
    classes: int,
    target: float,
    evaluations: Sequence[int],
) -> list[float]:
    """The rates from best to worst by their means over the tuning seeds, whose curves end at the last evaluation.

    For accuracy: by validation accuracy, then loss; a diverged replica scores chance, and its loss is that of
    guessing. For speed: by log min(T, H), T the time to the target (never, if it diverged) and H the last
    evaluation, then by the area under the log loss. Then the smaller rate.
    """
    loss = _losses(criterion, classes, target, evaluations)

    def key(rate: float) -> tuple[float, ...]:
        points = [loss(record) for record in records if record.replica.learning_rate == rate]
        return *(math.fsum(column) / len(points) for column in zip(*points, strict=True)), rate

    return sorted(rates, key=key)


def weighed(
    records: Sequence[Record],
    rates: Sequence[float],
    criterion: Criterion,
    classes: int,
    target: float,
    evaluations: Sequence[int],
) -> dict[float, float]:
    """The rates that some tuning seeds select, in ascending order, with their weights, which sum to one.

    Three seeds select as all do in ``ranked``, but none selects what was pruned; see ``core.tuning.rate_weights``.
    """
    loss, places = _losses(criterion, classes, target, evaluations), {rate: place for place, rate in enumerate(rates)}
    scores = np.full((2, max(record.replica.replicate for record in records) + 1, len(rates)), np.nan)
    for record in records:
        if record.status != "pruned":
            scores[:, record.replica.replicate, places[record.replica.learning_rate]] = loss(record)
    weights = rate_weights(*-scores).weights.tolist()
    return {rate: weight for rate, weight in zip(rates, weights, strict=True) if weight > 0}


def _losses(
    criterion: Criterion, classes: int, target: float, evaluations: Sequence[int]
) -> Callable[[Record], tuple[float, float]]:
    """What decides, and what does among equals; less is better."""

    def by_accuracy(record: Record) -> tuple[float, float]:
        if record.status == "diverged":
            return -1 / classes, math.log(classes)
        return -record.curve[-1][3], record.curve[-1][2]

    def by_speed(record: Record) -> tuple[float, float]:
        return math.log(max(1.0, min(record_time(record, target), evaluations[-1]))), record_area(
            record, evaluations, classes
        )

    return by_accuracy if criterion == "accuracy" else by_speed


def record_time(record: Record, target: float) -> float:
    """Steps until the target; inf when never, and for a replica that reached it and diverged after all."""
    if record.status == "diverged":
        return math.inf
    return time_to_target([point[0] for point in record.curve], [point[3] for point in record.curve], target)


def record_area(record: Record, evaluations: Sequence[int], classes: int) -> float:
    """Area under the log loss; a diverged replica counts as guessing from its divergence on, up to the others' end."""
    steps, losses = [point[0] for point in record.curve], [point[2] for point in record.curve]
    if record.status == "diverged":
        rest = [step for step in evaluations if not steps or step > steps[-1]]
        steps, losses = steps + rest, losses + [math.nan] * len(rest)
    return area_under_loss(steps, losses, math.log(classes))
