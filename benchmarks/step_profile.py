"""Where the time of a training step goes, by part, at two shapes: results/bench/profile.json.

The trainer's own calls are timed inside its training, so each part works on the caches that it really finds.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any, ClassVar

import torch

import document
import run
import workers
from activation_study.training.group import ReplicaGroup

ROUNDS = 7
SHAPES = {
    "depth 20, width 64, momentum, batch 128": {"depth": 20, **run.W64},
    "depth 20, width 128, Adam, batch 256": {"depth": 20, **run.W128},
}


class Parts:
    """Seconds by part of a chunk's training steps, from now on. Reading the clock costs 0.1 µs a call.

    The products, sums and activations of an evaluation do not count.
    """

    FUNCTIONS: ClassVar = {"bmm": "products", "baddbmm": "products", "sum": "bias gradients"}

    def __init__(self, chunk: ReplicaGroup):
        self.seconds: dict[str, float] = defaultdict(float)
        self._stepping = False
        self._forward_end: float | None = None
        network, pool, optimiser = chunk.network, chunk.pool, chunk.optimiser
        self._replaced = {name: self._timed(part, getattr(torch, name)) for name, part in self.FUNCTIONS.items()}
        for kernel in network.kernels:
            kernel.forward = self._timed("activation, forward", kernel.forward, in_steps=True)
            kernel.backward = self._timed("activation, backward", kernel.backward, in_steps=True)
        for name in ("update", "end_step"):
            setattr(optimiser, name, self._timed("optimiser", getattr(optimiser, name)))
        pool.gather, pool.order = self._timed("batches", pool.gather), self._timed("batches", pool.order)
        network.loss_and_gradients = self._stepwise(network.loss_and_gradients)

    def _timed(self, part: str, function: Callable[..., Any], *, in_steps: bool = False) -> Callable[..., Any]:
        seconds, clock = self.seconds, time.perf_counter
        forward, backward = function is torch.baddbmm, function is torch.bmm

        def timed(*args: Any, **named: Any) -> Any:
            if in_steps and not self._stepping:
                return function(*args, **named)
            start = clock()
            if backward and self._forward_end is not None:  # between the last product up and the first one down
                seconds["loss"] += start - self._forward_end
                self._forward_end = None
            result = function(*args, **named)
            end = clock()
            seconds[part] += end - start
            if forward:
                self._forward_end = end
            return result

        return timed

    def _stepwise(self, step: Callable[..., Any]) -> Callable[..., Any]:
        def stepped(*args: Any, **named: Any) -> Any:
            kept = {name: getattr(torch, name) for name in self._replaced}
            vars(torch).update(self._replaced)
            self._stepping = True
            try:
                return step(*args, **named)
            finally:
                vars(torch).update(kept)
                self._stepping = False

        return stepped


def main() -> None:
    study = workers.Pair("study")
    found: dict[str, dict[str, list[float]]] = {name: defaultdict(list) for name in SHAPES}
    for turn in range(ROUNDS):
        print(f"round {turn + 1} of {ROUNDS}", flush=True)
        best = workers.best_product(study.run("products", seconds=0.1))
        for name, shape in SHAPES.items():
            plain, parted = study.run("study_epoch", **shape), study.run("step_parts", **shape)
            for part, value in _shares(plain, parted, best).items():
                found[name][part].append(value)
    study.close()
    summaries = {
        name: {part: run.median_and_spread(values) for part, values in parts.items()} for name, parts in found.items()
    }
    document.write_json(document.BENCH / "profile.json", {"machine": run.machine(study.shares), "shapes": summaries})


def _shares(plain: list[workers.Timing], parted: list[workers.Timing], best: float) -> dict[str, float]:
    """Each part's share of a step; and what a step takes, what the products reach, what the timing costs."""
    total = sum(t.work["seconds"] for t in parted)
    shares = defaultdict(float)
    for timing in parted:
        for part, seconds in timing.work["parts"].items():
            shares[part] += seconds / total
    flops = sum(t.work["flops"] for t in plain)
    product_rate = flops / (shares["products"] * total)
    untimed = sum(t.work["seconds"] for t in plain)
    return dict(shares) | {
        "rest": 1 - sum(shares.values()),
        "step_ms": 1e3 * total / sum(t.work["steps"] for t in parted),
        "products_over_best_rate": product_rate / best,
        "training_over_best_rate": flops / untimed / best,
        "timing_overhead": total / untimed - 1,
    }


if __name__ == "__main__":
    main()
