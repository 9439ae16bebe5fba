"""How many steps does a depth need? results/bench/pilots.json, on seeds that no experiment uses.

ReLU is trained for far more steps than the study has, at the learning rate that is best in the end. A budget is long
enough where the mean validation accuracy rises by no more than δ over its last third, and over that of every longer
one: a curve that is still at chance is flat as well.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import groupby
from multiprocessing import get_context
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import document
import pruning
import study_side
from activation_study.guide.chooser import NEAR
from activation_study.study.config import Config
from activation_study.study.runs import Run
from activation_study.study.study import Study

DEPTHS = (5, 20, 50)
SEEDS = {"tuning": 3, "evaluation": 5}
LONGEST, SHORTEST = 4_000, 100
"""Steps that are trained, and the fewest that can be enough."""
LOOKS = 100
"""Evaluations per decade of steps: 17 in the last third of a budget."""


def main() -> None:
    start = time.perf_counter()
    longest_first = sorted(pilot(study_side.DEFAULT.config).runs.values(), key=lambda run: -run.cost)
    with ProcessPoolExecutor(pruning.PROCESSES, get_context("spawn")) as pool:
        found = list(pool.map(enough, longest_first))
    summary = {"longest": LONGEST, "seeds": SEEDS["evaluation"], "delta": NEAR} | {
        "runs": sorted(found, key=lambda one: (one["depth"], one["dataset"])),
        "seconds": time.perf_counter() - start,
    }
    document.write_json(document.BENCH / "pilots.json", summary)
    document.fill()


def pilot(default: Config) -> Study:
    """ReLU as the core trains it, for long, on every dataset of the default study."""
    config = default.model_dump(mode="json")
    factors = {"activation": "relu", "steps": LONGEST, "seed_stream": "pilot", "clip": study_side.core(5).clip}
    config["seeds"] = SEEDS
    config["training"]["evaluations_per_decade"] = LOOKS
    return Study.from_config(config | {"experiments": {"pilots": factors | {"depth": list(DEPTHS)}}, "claims": []})


def enough(run: Run) -> dict[str, Any]:
    """The steps that are enough for a run, and how accurate it is then and in the end."""
    rows = pruning.rows_of(run, "auto")
    rate = next(row["learning_rate"] for row in rows["runs"] if row["selected"])
    steps, accuracy = mean_curve(rows["curves"], rate)
    least = enough_steps(steps, accuracy, NEAR)
    return {
        "dataset": run.factors.dataset,
        "depth": run.factors.depth,
        "rate": rate,
        "steps": least,
        "accuracy": None if least is None else float(accuracy[steps == least].item()),
        "in_the_end": float(accuracy[-1]),
    }


def mean_curve(curves: Sequence[Mapping[str, Any]], rate: float) -> tuple[NDArray, NDArray]:
    """Steps, as far as all of them got, and mean validation accuracy of the evaluation networks at a rate."""
    own = [row for row in curves if row["role"] == "evaluation" and row["learning_rate"] == rate]
    own.sort(key=lambda row: row["step"])
    by_step = {
        step: [row["validation_accuracy"] for row in rows] for step, rows in groupby(own, lambda row: row["step"])
    }
    seeds = max(map(len, by_step.values()))
    whole = {step: values for step, values in by_step.items() if len(values) == seeds}
    return np.array([*whole]), np.array([np.mean(values) for values in whole.values()])


def enough_steps(steps: NDArray, accuracy: NDArray, delta: float) -> int | None:
    """The fewest steps H, at least `SHORTEST`, from which on a least-squares line over [2H/3, H] never rises by more
    than `delta`; None if it still does in the end."""
    least = None
    for budget in steps[steps >= SHORTEST][::-1]:
        third = (steps >= 2 * budget / 3) & (steps <= budget)
        slope = np.polyfit(steps[third], accuracy[third], 1)[0]
        if slope * budget / 3 > delta:
            break
        least = int(budget)
    return least


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
