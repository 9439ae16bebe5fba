"""Several runs at the same time, in as few stacks as hold all their replicas: for a GPU."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from activation_study.data.split import Split
from activation_study.training.group import ReplicaGroup
from activation_study.training.rows import Rows
from activation_study.training.run import RunTraining
from activation_study.training.stack import Stack, shape, stacked


class _Task(NamedTuple):
    run: RunTraining
    name: str
    group: ReplicaGroup
    until: int


def train_together(runs: Sequence[RunTraining]) -> Iterator[list[tuple[RunTraining, Rows]]]:
    """Train the runs, all of which go through each phase at the same time.

    Args:
        runs: of one study, on one device.

    Returns:
        Those that are finished, with their rows, as soon as they are.
    """
    splits: dict[tuple[object, ...], dict[int, Split]] = {}
    for run in runs:
        run.splits = splits.setdefault(run.splits_of, {})
    going = [(run, run.phases()) for run in runs]
    while going:
        tasks: list[_Task] = []
        ended: list[tuple[RunTraining, Rows]] = []
        for run, phases in list(going):
            try:
                groups, until = next(phases)
            except StopIteration as end:
                going.remove((run, phases))
                ended.append((run, end.value))
            else:
                tasks += [_Task(run, name, group, until) for name, group in groups.items()]
        if ended:
            yield ended
        _train(tasks)


def _train(tasks: Sequence[_Task]) -> None:
    """Bring every group to the end of its phase, in stacks where it can be."""
    alike: dict[tuple[Any, ...] | None, list[_Task]] = {}
    for task in tasks:
        task.run.checkpoint.restore(task.name, task.group)
        task.group.start()
        key = shape(task.group) if task.group.stops(task.until) else None
        alike.setdefault(key and (*key, task.until, task.run.group_size), []).append(task)
    for key, same in alike.items():
        by_group = {id(task.group): task for task in same}

        def keep(group: ReplicaGroup, by_group: dict[int, _Task] = by_group) -> None:
            task = by_group[id(group)]
            task.run.checkpoint.keep(task.name, group)

        def due(group: ReplicaGroup, by_group: dict[int, _Task] = by_group) -> bool:
            return by_group[id(group)].run.checkpoint.due

        if key is None:
            for task in same:
                task.group.train(task.until, keep)
        else:
            slots = same[0].run.group_size
            for groups in stacked([task.group for task in same], slots):
                Stack(groups, slots).train(same[0].until, keep, due)
        for task in same:
            task.run.note(task.name, task.group)
