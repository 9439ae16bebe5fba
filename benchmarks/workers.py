"""Two processes of one thread each that do the same at the same time, as the study's jobs do with `--cores 2`."""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

PROCESSES = 2
CONTEXT = multiprocessing.get_context("spawn")
Work = Callable[[], dict[str, Any]]


class Timing(NamedTuple):
    """cpu: seconds of processor time that a task took; wall: seconds; work: the task's figures."""

    cpu: float
    wall: float
    work: dict[str, Any]


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
        if not each:
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


def training_flops(timings: list[Timing]) -> float:
    """FLOP/s of one process's training steps, the mean of both."""
    return sum(t.work["flops"] / (t.work["seconds"] * t.cpu / t.wall) for t in timings) / len(timings)


def best_product(timings: list[Timing]) -> float:
    """FLOP/s of one process at the best of the products, the mean of both."""
    return max(sum(t.work[name] for t in timings) / len(timings) for name in timings[0].work)


def _serve(end: Connection, side: str) -> None:
    import torch

    torch.set_num_threads(1)
    if side == "study":
        from activation_study.training import device

        device.prepare("cpu")
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


@contextlib.contextmanager
def _arithmetic(precision: str | None, threads: int) -> Iterator[None]:
    """A float32 product and a number of threads for a while."""
    import torch

    kept = torch.get_float32_matmul_precision(), torch.get_num_threads()
    torch.set_float32_matmul_precision(precision or kept[0])
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(kept[0])
        torch.set_num_threads(kept[1])


@functools.cache
def _study_epoch(precision: str | None = None, threads: int = 1, **shape: Any) -> Work:
    """About an epoch of every replica and its evaluation; ``flops`` and ``seconds`` are those of the steps alone.

    No threads: nothing, so that the other process has the machine to itself.
    """
    if not threads:
        return dict
    import data
    import study_side

    steps = data.TRAIN // shape["batch"]
    chunk = study_side.chunk(**shape)
    replica_steps = steps * len(chunk.records)
    flops = replica_steps * data.training_flops(shape["depth"], shape["width"], shape["batch"])

    def work() -> dict[str, float]:
        with _arithmetic(precision, threads):
            seconds = study_side.advance(chunk, steps)
        return {"samples": replica_steps * shape["batch"], "flops": flops, "seconds": seconds}

    work()
    return work


def _study_run(depth: int, probes: bool) -> Work:
    """A whole training of a chunk as in the default study's `core`, with or without its probes."""
    import study_side

    steps = study_side.core_steps(depth)
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
def _step_parts(**shape: Any) -> Work:
    """About an epoch, with the seconds of each part of the steps."""
    import data
    import step_profile
    import study_side

    steps = data.TRAIN // shape["batch"]
    chunk = study_side.chunk(**shape)
    parts = step_profile.Parts(chunk)

    def work() -> dict[str, Any]:
        parts.seconds.clear()
        seconds = study_side.advance(chunk, steps)
        return {"parts": dict(parts.seconds), "seconds": seconds, "steps": steps}

    work()
    return work


@functools.cache
def _loop(kind: str, depth: int, width: int, batch: int, activation: str, root: str) -> Work:
    """An epoch and its evaluation of one network: the ``usual`` loop, the ``fair`` one, or that one ``tuned``."""
    from torch import nn

    import baselines
    import data

    model = baselines.mlp(depth, width, getattr(nn, activation))
    tuned = kind == "tuned"
    precision = data.exact_product() if tuned else None
    if kind == "usual":
        loop = baselines.UsualLoop(model, Path(root), batch)
    else:
        split = data.split()
        parts = (split.train_x, split.train_y, split.validation_x, split.validation_y)
        loop = baselines.FairLoop(model, *parts, batch, fused=tuned)

    def work() -> dict[str, float]:
        with _arithmetic(precision, 1):
            loop.epoch()
        return {"samples": loop.samples}

    work()
    return work


def _products(seconds: float = 0.15) -> Work:
    """FLOP/s of float32 products by shape and library: large squares, and those of the training."""
    import data

    return functools.partial(data.product_rates, seconds)


TASKS = {
    "study_epoch": _study_epoch,
    "study_run": _study_run,
    "step_parts": _step_parts,
    "loop": _loop,
    "products": _products,
}
