"""SGD, SGD with momentum and Adam for stacked parameters, with a learning rate for each replica.

The rules are torch.optim's: SGD's written out, for Adam its fused kernel. They stand here since a layer is updated
as soon as its gradient is there, while both are still in the processor's cache: no gradient is kept, and no pass
over all parameters follows the backward one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

import torch
from torch import Tensor

MOMENTUM = 0.9
ADAM_BETAS, ADAM_EPS = (0.9, 0.999), 1e-8
STATES = {"sgd": 0, "momentum": 1, "adam": 2}


class Optimiser:
    """One rule over the stacked parameters [R, ...], each replica with its own learning rate.

    Args:
        kind: ``sgd``, ``momentum`` (SGD with momentum 0.9) or ``adam`` (betas 0.9 and 0.999, eps 1e-8).
        parameters: the stacked tensors, updated in place.
        learning_rates: [R].
    """

    def __init__(self, kind: str, parameters: list[Tensor], learning_rates: Tensor):
        self.kind, self.parameters, self.step = kind, parameters, 0
        self.states = [[torch.zeros_like(p) for _ in range(STATES[kind])] for p in parameters]
        self._count = torch.zeros((), device=parameters[0].device)  # the step, as the fused kernel wants it
        self.set_learning_rates(learning_rates)

    def set_learning_rates(self, learning_rates: Tensor) -> None:
        first = self.parameters[0]
        self.learning_rates = learning_rates.to(first.device, first.dtype)
        self._negative = {p.dim(): -self.learning_rates.view(-1, *[1] * (p.dim() - 1)) for p in self.parameters}
        groups = list(_equal_neighbours(learning_rates.tolist()))
        self._groups = [
            [(replicas, rate, [tensor[replicas] for tensor in (parameter, *states)]) for replicas, rate in groups]
            for parameter, states in zip(self.parameters, self.states, strict=True)
        ]

    @property
    def state(self) -> list[Tensor]:
        """What it remembers but for the ``step``: all its stacked tensors."""
        return [state for states in self.states for state in states]

    def load(self, state: Sequence[Tensor]) -> None:
        """Copy the ``state`` of another optimiser of this kind."""
        for mine, theirs in zip(self.state, state, strict=True):
            mine.copy_(theirs)

    def begin_step(self) -> None:
        self.step += 1
        self._count.fill_(self.step)

    def update(self, index: int, gradient: Tensor) -> None:
        """Apply the gradient, of the same shape, to parameter ``index``."""
        parameter, states = self.parameters[index], self.states[index]
        negative = self._negative[parameter.dim()]
        if self.kind == "sgd":
            parameter.addcmul_(gradient, negative)
        elif self.kind == "momentum":
            velocity = states[0]
            torch.add(gradient, velocity, alpha=MOMENTUM, out=velocity)
            parameter.addcmul_(velocity, negative)
        else:
            for replicas, rate, rows in self._groups[index]:  # the kernel takes one learning rate
                torch._fused_adam_(
                    [rows[0]],
                    [gradient[replicas]],
                    [rows[1]],
                    [rows[2]],
                    [],
                    [self._count],
                    lr=rate,
                    beta1=ADAM_BETAS[0],
                    beta2=ADAM_BETAS[1],
                    eps=ADAM_EPS,
                    weight_decay=0.0,
                    amsgrad=False,
                    maximize=False,
                )


def _equal_neighbours(rates: list[float]) -> Iterator[tuple[slice, float]]:
    """The replicas that follow each other and share a learning rate, with it."""
    start = 0
    for rate, same in groupby(rates):
        stop = start + len(list(same))
        yield slice(start, stop), rate
        start = stop
