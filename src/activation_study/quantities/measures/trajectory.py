"""The way of a network through parameter space.

θ_t are all its parameters after step t of T, and Δ_t = θ_t − θ_(t−1).

step_cosine: the mean over t of Δ_t · Δ_(t+1) / (‖Δ_t‖ ‖Δ_(t+1)‖), where neither is zero. Source: this study's, of the
    zig-zag of LeCun et al. (1998), Efficient BackProp, section 4.3.
tortuosity: Σ ‖Δ_t‖ / ‖θ_T − θ_0‖. Source: the arc-chord ratio.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from activation_study.core.registry import torch
from activation_study.quantities.base import Measured, Measurement, Moment, Taken

if TYPE_CHECKING:
    from torch import Tensor


class Path:
    """The way of R replicas through parameter space, step by step, from where ``parameters`` [R, ...] now are."""

    def __init__(self, parameters: Sequence[Tensor]):
        self._start = torch.cat([p.flatten(1) for p in parameters], 1)
        self._here, self._spare = self._start.clone(), torch.empty_like(self._start)
        self._update = torch.zeros_like(self._start)
        # of each replica: ‖the last update‖, Σ‖update‖, Σcos and the number of cosines
        sums = torch.zeros(4, len(self._start), dtype=torch.float64, device=self._start.device)
        self._norm, self._length, self._cosines, self._pairs = sums.unbind()

    def step(self, parameters: Sequence[Tensor]) -> None:
        """Take in the parameters after a training step."""
        there = torch.cat([p.flatten(1) for p in parameters], 1, out=self._spare)
        update = torch.sub(there, self._here, out=self._here)
        norm = torch.linalg.vector_norm(update, dim=1).double()
        both = norm * self._norm
        self._cosines += torch.where(both > 0, torch.linalg.vecdot(update, self._update) / both, 0.0)
        self._pairs += both > 0
        self._length += self._norm.copy_(norm)
        self._here, self._update, self._spare = there, update, self._update

    def tortuosity(self) -> Tensor:
        """The way's length over the distance between its ends [R]; NaN if it never moved, infinite if closed."""
        distance: Tensor = torch.linalg.vector_norm(self._here.double() - self._start.double(), dim=1)
        return self._length / distance

    def step_cosine(self) -> Tensor:
        """Mean cosine between an update and the next [R], where neither is zero; NaN without such a pair."""
        return self._cosines / self._pairs

    @property
    def state(self) -> list[Tensor]:
        """The path's own memory, [R, ...], to be copied before the next step."""
        return [self._start, self._here, self._update, self._norm, self._length, self._cosines, self._pairs]

    def load(self, state: Sequence[Tensor]) -> None:
        """Copy the ``state`` of a path of as many replicas and parameters."""
        for mine, theirs in zip(self.state, state, strict=True):
            mine.copy_(theirs)


def _take(moment: Moment) -> Iterator[Taken]:
    yield "step_cosine", 0, None, moment.recorder.step_cosine()
    yield "tortuosity", 0, None, moment.recorder.tortuosity()


DECLARED = (
    Measurement(
        "path",
        (
            Measured("step_cosine", "cosine", "mean cosine of successive updates"),
            Measured("tortuosity", "ratio", "length of the path over its end-to-end distance"),
        ),
        "end",
        _take,
        follow=Path,
    ),
)
