"""SGD, SGD with momentum and Adam for stacked parameters, with a learning rate for each replica.

The rules are torch.optim's: SGD's written out, for Adam its fused kernel. They stand here since a layer is updated
as soon as its gradient is there, while both are still in the processor's cache: no gradient is kept, and no pass
over all parameters follows the backward one. With clipping, which needs all gradients first, they are kept in one
tensor until the end of the step.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

import torch
from torch import Tensor

MOMENTUM = 0.9
ADAM_BETAS, ADAM_EPS = (0.9, 0.999), 1e-8
CLIP_EPS = 1e-6
STATES = {"sgd": 0, "momentum": 1, "adam": 2}


class Optimiser:
    """One rule over the stacked parameters [R, ...], each replica with its own learning rate.

    Args:
        kind: ``sgd``, ``momentum`` (SGD with momentum 0.9) or ``adam`` (betas 0.9 and 0.999, eps 1e-8).
        parameters: the stacked tensors, updated in place.
        learning_rates: [R].
        clip: the largest norm of a replica's whole gradient; a longer one is scaled down to it, as
            ``torch.nn.utils.clip_grad_norm_`` does. None leaves gradients as they are.
    """

    def __init__(self, kind: str, parameters: list[Tensor], learning_rates: Tensor, clip: float | None = None):
        self.kind, self.parameters, self.step = kind, parameters, 0
        self._clipped = None if clip is None else ClippedGradients(parameters, clip)
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
        """Apply the gradient, of the same shape, to parameter ``index``; where gradients are clipped, in `end_step`."""
        if self._clipped is None:
            self._apply(index, gradient)
        else:
            self._clipped.gradients[index].copy_(gradient)

    def end_step(self) -> None:
        """What is left to do when every parameter's gradient is there."""
        if self._clipped is not None:
            self._clipped.clip()
            for index, gradient in enumerate(self._clipped.gradients):
                self._apply(index, gradient)

    def _apply(self, index: int, gradient: Tensor) -> None:
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
                    [gradient[replicas].contiguous()],  # as it takes them to be
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


class ClippedGradients:
    """The gradients of all parameters, in one tensor with a row for each replica: one norm, one scaling.

    Args:
        parameters: the stacked tensors [R, ...].
        limit: what no replica's norm exceeds when they are clipped.
    """

    def __init__(self, parameters: list[Tensor], limit: float):
        sizes = [p[0].numel() for p in parameters]
        self._limit, self._rows = limit, parameters[0].new_empty(len(parameters[0]), sum(sizes))
        parts = self._rows.split(sizes, 1)
        self.gradients = [part.view(p.shape) for part, p in zip(parts, parameters, strict=True)]

    def clip(self) -> None:
        """Scale each replica's by min(1, limit / norm); by NaN where the norm is not finite.

        There 0, as PyTorch has it, would hide a replica that diverges.
        """
        norm = torch.linalg.vector_norm(self._rows, dim=1, keepdim=True)
        scale = (self._limit / (norm + CLIP_EPS)).clamp_(max=1)
        self._rows.mul_(scale.masked_fill_(~norm.isfinite(), torch.nan))


def _equal_neighbours(rates: list[float]) -> Iterator[tuple[slice, float]]:
    """The replicas that follow each other and share a learning rate, with it."""
    start = 0
    for rate, same in groupby(rates):
        stop = start + len(list(same))
        yield slice(start, stop), rate
        start = stop
