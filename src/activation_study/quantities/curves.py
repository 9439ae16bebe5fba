"""How fast one training curve converges, and at which steps to look (numpy only: training imports this)."""

import numpy as np
from numpy.typing import ArrayLike

from activation_study.core.errors import StudyError

LOSS_FLOOR = 1e-7
"""Losses below this count as this: float32 softmax cannot resolve less, and log 0 would swamp every mean."""


FIRST_PROBE = 5
"""Of the first steps none is probed but step 0: a probe costs as much as ten steps or more."""


def log_spaced_steps(steps: int, per_decade: int) -> list[int]:
    """The evaluation steps 0, 1, …, `steps`: distinct, and a factor of at most 10^(1/per_decade) apart.

    At the start, where integers are further apart than that, every step is taken. Budgets share their steps:
    a longer one only adds to the end.
    """
    if steps < 1 or per_decade < 1:
        raise StudyError(f"log_spaced_steps: steps={steps}, per_decade={per_decade}: both must be at least 1")
    ratio = 10 ** (1 / per_decade)
    spaced = [0, 1]
    while spaced[-1] < steps:
        spaced.append(min(max(spaced[-1] + 1, int(spaced[-1] * ratio)), steps))
    return spaced


def probe_steps(steps: int, per_decade: int) -> list[int]:
    """The steps of the probes: step 0, then those of ``log_spaced_steps`` from ``FIRST_PROBE`` on, and the last."""
    return [step for step in log_spaced_steps(steps, per_decade) if step in (0, steps) or step >= FIRST_PROBE]


def time_to_target(steps: ArrayLike, accuracy: ArrayLike, target: float) -> float:
    """The step at which `accuracy` [T] first reaches `target`, linear between the evaluations at `steps` [T].

    A first evaluation already at the target gives its own step; a curve that never gets there gives inf
    (right-censored). NaN accuracies, those of a diverged run, do not reach anything.
    """
    steps, accuracy = _curve(steps, accuracy, "accuracy")
    reached = np.flatnonzero(accuracy >= target)
    if not len(reached):
        return float("inf")
    first = reached[0]
    if first == 0 or np.isnan(accuracy[first - 1]):
        return float(steps[first])
    before, after = accuracy[first - 1], accuracy[first]
    share = (target - before) / (after - before)
    return float(steps[first - 1] + share * (steps[first] - steps[first - 1]))


def area_under_loss(steps: ArrayLike, loss: ArrayLike, cap: float) -> float:
    """The mean of log(loss) over log-spaced steps, from step 1 to the last, of `loss` [T] at `steps` [T].

    It is the trapezoid rule in log(step), so that the start, where integers limit how dense evaluations can
    be, has the weight of its decades; step 0 has no logarithm and is left out. Losses are cut to
    [LOSS_FLOOR, cap], with cap = ln K for K classes, and NaN (diverged) counts as cap: then a run that
    blows up is as bad as one that guesses, not infinitely worse.
    """
    steps, loss = _curve(steps, loss, "loss")
    late = steps >= 1
    if not late.any():
        raise StudyError("area_under_loss: no evaluation at step 1 or later")
    log_step = np.log(steps[late])
    log_loss = np.log(np.clip(np.nan_to_num(loss[late], nan=cap, posinf=cap), LOSS_FLOOR, cap))
    if len(log_step) == 1:
        return float(log_loss[0])
    return float(np.trapezoid(log_loss, log_step) / (log_step[-1] - log_step[0]))


def _curve(steps: ArrayLike, values: ArrayLike, name: str) -> tuple[np.ndarray, np.ndarray]:
    steps, values = np.asarray(steps, dtype=float), np.asarray(values, dtype=float)
    if steps.ndim != 1 or steps.shape != values.shape or not len(steps):
        raise StudyError(f"{name}: shape {values.shape} with steps {steps.shape}; both must be [T], T ≥ 1")
    if not (np.diff(steps) > 0).all():
        raise StudyError(f"steps: {steps.tolist()[:8]}… must increase")
    return steps, values
