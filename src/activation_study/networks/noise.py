"""Numbers drawn beforehand, of which a layer takes a window at each step: drawing would cost more than all the rest."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import lru_cache, partial
from typing import Any, Protocol

import torch
from torch import Tensor

from activation_study.core.seeds import generator, seed_of

# A pool holds at least this many numbers a replica, and this many times what one layer uses in a step.
SIZE, WINDOWS = 2**18, 8


class Law(Hashable, Protocol):
    """A distribution; equal ones are the same key."""

    def quantile(self, u: Any) -> Any:
        """The number below which a share u in [0, 1] of the draws falls."""
        ...


class Pool:
    """The noise of one layer of R replicas: each replica has its own pool, the window's place is the step's.

    Args:
        kind: what the noise is for; with a seed it decides the pool, with layer and step the place.
        law, less: the numbers are draws from ``law``, less that.
        seeds: one per replica.
    """

    def __init__(
        self,
        kind: str,
        law: Law,
        less: float,
        seeds: Sequence[int],
        layer: int,
        dtype: torch.dtype,
        device: torch.device,
    ):
        self.seeds = tuple(seeds)
        self._kind, self._layer = kind, layer
        self._numbers = partial(_pool, kind, law, less, dtype=dtype, device=device)
        self._followed: tuple[Tensor, Tensor, Tensor, Tensor] | None = None
        self.draw(0)

    def draw(self, step: int) -> None:
        """Go to a step."""
        self._step = step

    def follow(self, start: Tensor, used: int) -> None:
        """From now on take windows of ``used`` numbers that begin where ``start`` [1] on the device says.

        A CUDA graph finds the window of each step so; the pool lives as long as this object then, a row a seed.
        """
        distinct = tuple(dict.fromkeys(self.seeds))
        rows = torch.tensor([distinct.index(seed) for seed in self.seeds], device=start.device)
        columns = torch.arange(used, device=start.device)
        self._followed = self._numbers(distinct, _size(used)), rows, columns, start

    def window(self, used: int) -> Tensor:
        """The numbers of the step [R, used]."""
        if self._followed is not None:
            pool, rows, columns, start = self._followed
            return pool.index_select(1, columns + start).index_select(0, rows)
        place = window_start(self._kind, self._layer, self._step, used)
        return self._numbers(self.seeds, _size(used))[:, place : place + used]


def window_start(kind: str, layer: int, step: int, used: int) -> int:
    """Where the window of ``used`` numbers a replica begins in the pool, for a layer (from 1) at a step."""
    return seed_of(kind, layer, step) % (_size(used) - used + 1)


def _size(used: int) -> int:
    return max(SIZE, WINDOWS * used)


@lru_cache(maxsize=4)
def _pool(
    kind: str, law: Law, less: float, seeds: tuple[int, ...], size: int, *, dtype: torch.dtype, device: torch.device
) -> Tensor:
    """The numbers [R, size], for all layers: equidistant quantiles, shuffled, so their law is exact."""
    ranks = {seed: torch.randperm(size, generator=generator(kind, seed)) for seed in set(seeds)}
    rows = {seed: law.quantile((rank.double() + 0.5) / size) - less for seed, rank in ranks.items()}
    return torch.stack([rows[seed].to(dtype) for seed in seeds]).to(device)
