"""Which runs a training job takes: some of one shape, so that a process starts once for all of them.

How runs are grouped is no part of what they are: their results are kept by what made each of them, wherever it lies.
"""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from activation_study.core.runs import as_text
from activation_study.study.runs import Run

MOST_RUNS = {"cpu": 16, "cuda": 48}
"""In one job, if the config names no number: on a GPU about a stack of networks, as jobs share it."""
MOST_COST = 6e12
"""Of one job on a CPU, as `Run.cost` counts: a minute or two, beside which a second to start does not matter."""
FEWEST_JOBS = 32
"""Into which a study on a CPU is cut, where it has as many runs, for the cores of a large machine."""
RUN_TABLES = ("runs", "curves", "layers", "measurements", "timings", "jobs")
"""What a training job writes; the last one says what made the runs."""
SHAPE = ("network", "depth", "width", "steps", "batch_size", "optimiser", "normalisation")


@dataclass(frozen=True)
class Job:
    """Some runs of one shape, which one process trains. `shape` and `part` name the folder of its results."""

    shape: str
    part: str
    runs: tuple[Run, ...]

    @property
    def id(self) -> str:
        return f"{self.shape}/{self.part}"

    @functools.cached_property
    def cost(self) -> float:
        return sum(run.cost for run in self.runs)

    @property
    def datasets(self) -> list[str]:
        return list({run.factors.dataset: None for run in self.runs})

    @property
    def activations(self) -> list[str]:
        return list({run.factors.activation: None for run in self.runs})


def jobs(runs: Mapping[str, Run], device: str, runs_per_job: int | None) -> dict[str, Job]:
    """All runs in jobs, by name.

    On a GPU, which the config must name for that, runs of several datasets share a job, to fill it. On a CPU each
    dataset has its own, which need not wait for the others' data.

    Args:
        device: the config's, ``auto``, ``cpu`` or ``cuda``.
        runs_per_job: at most so many; None for ``MOST_RUNS``, and on a CPU no more than ``MOST_COST`` together.
    """
    gpu = device == "cuda"
    shapes: dict[str, list[Run]] = {}
    for _, run in sorted(runs.items()):  # in whatever order the config has them
        name = ".".join(as_text(getattr(run.factors, factor)) for factor in SHAPE)
        shapes.setdefault(name if gpu else f"{run.factors.dataset}.{name}", []).append(run)
    most, cost = runs_per_job or MOST_RUNS["cuda" if gpu else "cpu"], math.inf
    if runs_per_job is None and not gpu:
        cost = min(MOST_COST, sum(run.cost for run in runs.values()) / FEWEST_JOBS)
    made = (_job(shape, part) for shape, alike in shapes.items() for part in _parts(alike, most, cost))
    return {job.id: job for job in made}


def _job(shape: str, runs: Sequence[Run]) -> Job:
    ids = "\n".join(run.id for run in runs)
    return Job(shape, hashlib.sha256(ids.encode()).hexdigest()[:12], tuple(runs))


def _parts(runs: Sequence[Run], most: int, cost: float) -> Iterator[list[Run]]:
    """Neighbours, no more than `most` and of no more than that cost, in parts of about the same number."""
    count = max(math.ceil(len(runs) / most), math.ceil(sum(run.cost for run in runs) / cost))
    even = math.ceil(len(runs) / count)
    part, taken = list[Run](), 0.0
    for run in runs:
        taken += run.cost
        if part and (len(part) == even or taken > cost):
            yield part
            part, taken = [], run.cost
        part.append(run)
    yield part
