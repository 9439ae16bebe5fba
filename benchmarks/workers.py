"""Two processes of one thread each that do the same at the same time, as the study's jobs do with `--cores 2`."""

from __future__ import annotations

import functools
import multiprocessing
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

PROCESSES = 2
CONTEXT = multiprocessing.get_context("spawn")


class Timing(NamedTuple):
    """cpu: seconds of processor time that a task took; wall: seconds; work: the task's figures."""

    cpu: float
    wall: float
    work: dict[str, float]


class Pair:
    """Two workers of one side, ``study`` or ``loops``, which each keep what they have built."""

    def __init__(self, side: str):
        self._ends, self.shares = [], []
        self._processes = []
        for _ in range(PROCESSES):
            mine, theirs = CONTEXT.Pipe()
            self._ends.append(mine)
            self._processes.append(CONTEXT.Process(target=_serve, args=(theirs, side), daemon=True))
            self._processes[-1].start()

    def run(self, task: str, *each: dict[str, Any], **arguments: Any) -> list[Timing]:
        """The task in both at once; ``each`` may hold the arguments that differ."""
        self._exchange([(task, arguments | own) for own in each or [{}] * PROCESSES])
        timings = self._exchange(["go"] * PROCESSES)
        self.shares += [timing.cpu / timing.wall for timing in timings]
        return timings

    def _exchange(self, messages: list[Any]) -> list[Any]:
        for end, message in zip(self._ends, messages, strict=True):
            end.send(message)
        answers = [end.recv() for end in self._ends]
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
        return answers

    def close(self) -> None:
        for end in self._ends:
            end.send(None)
        for process in self._processes:
            process.join()


def throughput(timings: list[Timing]) -> float:
    """Samples per second of both together.

    Seconds of processor time: on an idle machine those of the clock, since a task is one thread that never waits, and
    much less moved by whatever else is running.
    """
    return sum(t.work["samples"] / t.cpu for t in timings)


def _serve(end: Connection, side: str) -> None:
    import torch

    torch.set_num_threads(1)
    if side == "study":
        from activation_study import devices

        devices.prepare("cpu")
    while (message := end.recv()) is not None:
        task, arguments = message
        try:
            work = TASKS[task](**arguments)  # builds and warms up at the first call
            end.send("ready")
            end.recv()  # both start together
            cpu, start = time.process_time(), time.perf_counter()
            done = work()
            end.send(Timing(time.process_time() - cpu, time.perf_counter() - start, done))
        except Exception as error:
            end.send(error)


@functools.cache
def _study_epoch(**shape: Any) -> Callable[[], dict[str, float]]:
    """About an epoch of every replica and its evaluation; ``flops`` and ``seconds`` are those of the steps alone."""
    import data
    import study_side

    steps = data.TRAIN // shape["batch"]
    chunk = study_side.chunk(**shape, evaluations=range(1, 1000 * steps, steps))
    flops = data.training_flops(shape["depth"], shape["width"], shape["batch"])
    chunk.train(1)

    def work() -> dict[str, float]:
        before = chunk.clock.seconds["training"]
        chunk.train(chunk.step + steps)
        assert len(chunk.records) == study_side.REPLICAS, "a replica diverged"
        replica_steps = steps * study_side.REPLICAS
        seconds = chunk.clock.seconds["training"] - before
        return {"samples": replica_steps * shape["batch"], "flops": replica_steps * flops, "seconds": seconds}

    return work


def _study_run(depth: int, probes: bool, steps: int = 1000) -> Callable[[], dict[str, float]]:
    """A whole training of a chunk with the default evaluations, with or without the default probes."""
    import study_side

    evaluations, probed = study_side.default_looks(steps)
    shape = {"depth": depth, "width": 64, "batch": 128, "optimiser": "momentum"}
    # The evaluations at the probes' steps take place either way.
    looks = {"evaluations": sorted({*evaluations, *probed}), "probes": probed if probes else []}
    chunk = study_side.chunk(**shape, **looks)

    def work() -> dict[str, float]:
        chunk.train(steps)
        return dict(chunk.clock.seconds)

    return work


@functools.cache
def _loop(kind: str, depth: int, width: int, batch: int, activation: str, root: str) -> Callable[[], dict[str, float]]:
    """An epoch and its evaluation of one network."""
    import baselines
    import data
    from torch import nn

    model = baselines.mlp(depth, width, getattr(nn, activation))
    if kind == "usual":
        loop = baselines.UsualLoop(model, Path(root), batch)
    else:
        split = data.split()
        parts = (split.train_x, split.train_y, split.validation_x, split.validation_y)
        loop = baselines.FairLoop(model, *parts, batch)
    loop.epoch()

    def work() -> dict[str, float]:
        loop.epoch()
        return {"samples": loop.samples}

    return work


def _products(seconds: float = 0.15) -> Callable[[], dict[str, float]]:
    """FLOP/s of float32 products by shape and library: large squares, and those of the training."""
    import data
    import torch

    shapes = [(1, n, n, n) for n in (256, 512, 1024, 2048)]
    shapes += [(8, 256, 128, 128), (8, 128, 64, 64), (8, 256, 784, 128)]

    def work() -> dict[str, float]:
        kept, rates = torch.get_float32_matmul_precision(), {}
        for library, precision in (("MKL", "highest"), ("oneDNN", "medium")):
            torch.set_float32_matmul_precision(precision)
            for replicas, m, k, n in shapes:
                a, b = torch.randn(replicas, m, k), torch.randn(replicas, k, n)
                name = f"{library} {replicas}×[{m}, {k}]·[{k}, {n}]"
                rates[name] = data.product_rate(a, b, torch.empty(replicas, m, n), seconds)
        torch.set_float32_matmul_precision(kept)
        return rates

    return work


TASKS = {"study_epoch": _study_epoch, "study_run": _study_run, "loop": _loop, "products": _products}
