"""SGD, SGD with momentum and Adam for stacked parameters, with a learning rate for each replica.

The rules are torch.optim's: SGD's written out, for Adam its fused kernel. With SGD a parameter is updated as soon as
its gradient is there, while both are still in the processor's cache. Adam's kernel computes longer than it reads, but
takes one learning rate a call: it waits for all gradients, so that one call does a whole replica. Clipping waits too:
it needs their norm.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

import torch
from torch import Tensor

MOMENTUM = 0.9
ADAM_BETAS, ADAM_EPS = (0.9, 0.999), 1e-8
CLIP_EPS = 1e-6
STATES = {"sgd": 0, "momentum": 1, "adam": 2}


class Optimiser:
    """One rule over the stacked parameters [R, ...], each replica with its own learning rate.

    A step is `begin_step`, an `update` for each of the parameters, `end_step`.

    Args:
        kind: ``sgd``, ``momentum`` (SGD with momentum 0.9) or ``adam`` (betas 0.9 and 0.999, eps 1e-8).
        parameters: the stacked tensors, updated in place.
        learning_rates: [R].
        clip: the largest norm of a replica's whole gradient; a longer one is scaled down to it, as
            ``torch.nn.utils.clip_grad_norm_`` does. None leaves gradients as they are.
    """

    def __init__(self, kind: str, parameters: list[Tensor], learning_rates: Tensor, clip: float | None = None):
        self.kind, self.parameters, self.step = kind, parameters, 0
        self.states = [[torch.zeros_like(p) for _ in range(STATES[kind])] for p in parameters]
        self._count = torch.zeros((), device=parameters[0].device)  # the step, as the fused kernel wants it
        self._clipped = None if clip is None else ClippedGradients(parameters, clip)
        self._gradients = {} if self._clipped is None else dict(enumerate(self._clipped.gradients))
        self._checked = False
        self.set_learning_rates(learning_rates)

    def set_learning_rates(self, learning_rates: Tensor) -> None:
        first = self.parameters[0]
        self.learning_rates = learning_rates.to(first.device, first.dtype)
        self._negative = {p.dim(): -self.learning_rates.view(-1, *[1] * (p.dim() - 1)) for p in self.parameters}
        rates = learning_rates.tolist()
        # Neighbours of one rate are one part. Of gradients that are clipped only single rows are contiguous.
        apart = groupby(rates) if self._clipped is None else ((rate, [rate]) for rate in rates)
        neighbours = [(rate, len([*same])) for rate, same in apart]
        self._rates, self._sizes = ([*column] for column in zip(*neighbours, strict=True))
        stacks = [self.parameters, *zip(*self.states, strict=True)]
        self._parts = list(zip(*[self._by_rate(stack) for stack in stacks], strict=True))

    def _by_rate(self, tensors: Iterable[Tensor]) -> list[tuple[Tensor, ...]]:
        """For each learning rate its replicas' rows of all the tensors."""
        return list(zip(*[tensor.split(self._sizes) for tensor in tensors], strict=True))

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
        """Take the gradient, of the same shape, of parameter ``index``; Adam needs its memory until `end_step`.

        Where gradients share memory, `end_step` raises ValueError.
        """
        if self._clipped is not None:
            self._gradients[index].copy_(gradient)
        elif self.kind == "adam":
            self._gradients[index] = gradient
        else:
            self._descend(index, gradient)

    def end_step(self) -> None:
        """What can be done only when all gradients are there."""
        if self._clipped is not None:
            self._clipped.clip()
        if self.kind == "adam":
            self._adam()
        elif self._clipped is not None:
            for index, gradient in self._gradients.items():
                self._descend(index, gradient)

    def _descend(self, index: int, gradient: Tensor) -> None:
        parameter = self.parameters[index]
        negative = self._negative[parameter.dim()]
        if self.kind == "momentum":
            velocity = self.states[index][0]
            gradient = torch.add(gradient, velocity, alpha=MOMENTUM, out=velocity)
        parameter.addcmul_(gradient, negative)

    def _adam(self) -> None:
        count = len(self.parameters)
        if not self._checked and len({id(gradient) for gradient in self._gradients.values()}) < count:
            raise ValueError("Adam needs all gradients of a step, and some share their memory")
        self._checked = True
        gradients = self._by_rate(self._gradients[index] for index in range(count))
        for rate, gradient, (parameter, mean, square) in zip(self._rates, gradients, self._parts, strict=True):
            torch._fused_adam_(
                parameter,
                gradient,
                mean,
                square,
                [],
                [self._count] * count,
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
        norm = torch.linalg.vector_norm(self._rows, dim=1, keepdim=True)
        self._rows.mul_(clip_scale(norm, self._limit))


def clip_scale(norm: Tensor, limit: float) -> Tensor:
    """What gradients of that norm are scaled by: min(1, limit / norm), and NaN where the norm is not finite.

    There 0, as PyTorch has it, would hide a replica that diverges.
    """
    scale = (limit / (norm + CLIP_EPS)).clamp_(max=1)
    return scale.masked_fill_(~norm.isfinite(), torch.nan)
