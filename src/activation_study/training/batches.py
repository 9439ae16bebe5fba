"""Training samples on the device, and the order in which each seed sees them."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from weakref import WeakValueDictionary

import torch
from torch import Tensor

from activation_study.core.seeds import generator
from activation_study.data.split import Split


def batch_order(seed: int, samples: int, batch: int, first: int, steps: int) -> Tensor:
    """Sample indices [steps, batch] of the batches of steps ``first`` … ``first + steps − 1``.

    Epochs are fresh permutations, one after the other without a gap, so a batch may cross from one into the next
    and every sample is seen equally often. A pure function of its arguments: any part of the order can be had
    without the rest.
    """
    start, stop = first * batch, (first + steps) * batch
    epochs = range(start // samples, (stop - 1) // samples + 1)
    order = torch.cat([_epoch(seed, samples, epoch) for epoch in epochs])
    offset = start - epochs[0] * samples
    return order[offset : offset + stop - start].view(steps, batch)


@lru_cache(maxsize=128)
def _epoch(seed: int, samples: int, epoch: int) -> Tensor:
    """One permutation; groups of one seed ask for the same, and each stretch of steps for the last one's once more."""
    return torch.randperm(samples, generator=generator(seed, "epoch", epoch))


@dataclass(frozen=True, eq=False)
class Samples:
    """All training samples of some splits [N, features], and their labels [N]."""

    x: Tensor
    y: Tensor


_ON_DEVICE: WeakValueDictionary[tuple[object, ...], Samples] = WeakValueDictionary()
"""Groups of one dataset share its samples for as long as one of them needs them."""


class TrainingPool:
    """The training samples of some replicas, stored once for each distinct split.

    Args:
        splits: one per replica; replicas that share a split object share its memory.
        seeds: one per replica; decides the order of the batches.
    """

    def __init__(
        self,
        splits: Sequence[Split],
        seeds: Sequence[int],
        batch: int,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
    ):
        distinct = list({id(split): split for split in splits}.values())
        starts, start = {}, 0
        for split in distinct:
            starts[id(split)] = start
            start += len(split.train_y)
        self._splits = distinct  # they stay alive, so that their ids stay their own
        key = *map(id, distinct), device, dtype
        if key not in _ON_DEVICE:
            x, y = ([getattr(split, part) for split in distinct] for part in ("train_x", "train_y"))
            self.samples = _ON_DEVICE[key] = Samples(_joined(x).to(device, dtype), _joined(y).to(device))
        self.samples = _ON_DEVICE[key]
        self.x, self.y = self.samples.x, self.samples.y
        self.replicas = [
            (seed, len(split.train_y), starts[id(split)]) for seed, split in zip(seeds, splits, strict=True)
        ]
        self.batch = batch

    @functools.cached_property
    def inputs(self) -> Tensor:
        """The memory of a batch."""
        return self.x.new_empty(len(self.replicas), self.batch, self.x.shape[1])

    def order(self, first: int, steps: int) -> Tensor:
        """Indices into the pool [steps, R, B], on the CPU, for the steps ``first`` … ``first + steps − 1``."""
        shared: dict[tuple[int, int], Tensor] = {}
        rows = []
        for seed, samples, start in self.replicas:
            if (seed, samples) not in shared:
                shared[seed, samples] = batch_order(seed, samples, self.batch, first, steps)
            rows.append(shared[seed, samples] + start)
        return torch.stack(rows, 1)

    def gather(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs [R, B, D] (memory that the next call uses again) and labels [R, B] for indices [R, B]."""
        flat = indices.reshape(-1)
        torch.index_select(self.x, 0, flat, out=self.inputs.view(len(flat), -1))
        return self.inputs, self.y.index_select(0, flat).view(indices.shape)


def _joined(tensors: list[Tensor]) -> Tensor:
    return tensors[0] if len(tensors) == 1 else torch.cat(tensors)
