"""SGD, SGD with momentum and Adam for stacked parameters, with a learning rate for each replica.

The rules are torch.optim's. They are written out here since a layer is updated as soon as its gradient is there, while
both are still in the processor's cache: no gradient is kept, and no pass over all parameters follows the backward one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

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
        self._scratch: dict[torch.Size, Tensor] = {}
        self.set_learning_rates(learning_rates)

    def set_learning_rates(self, learning_rates: Tensor) -> None:
        first = self.parameters[0]
        self.learning_rates = learning_rates.to(first.device, first.dtype)
        self._negative = {p.dim(): -self.learning_rates.view(-1, *[1] * (p.dim() - 1)) for p in self.parameters}

    def load(self, states: Iterable[Tensor], step: int) -> None:
        """Copy the state of another optimiser: its ``states``, flattened, and its ``step``."""
        self.step = step
        for mine, theirs in zip((state for states in self.states for state in states), states, strict=True):
            mine.copy_(theirs)

    def begin_step(self) -> None:
        self.step += 1
        if self.kind == "adam":
            # lr/(1-β1^t) · m / (√v/√(1-β2^t) + ε) = lr·c · m / (√v + ε√(1-β2^t)), with c as below.
            root = math.sqrt(1 - ADAM_BETAS[1] ** self.step)
            self._eps = ADAM_EPS * root
            self._scale = root / (1 - ADAM_BETAS[0] ** self.step)

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
            mean, square = states
            mean.lerp_(gradient, 1 - ADAM_BETAS[0])
            square.mul_(ADAM_BETAS[1]).addcmul_(gradient, gradient, value=1 - ADAM_BETAS[1])
            scratch = self._scratch.get(square.shape)
            if scratch is None:
                scratch = self._scratch[square.shape] = torch.empty_like(square)
            torch.sqrt(square, out=scratch).add_(self._eps)
            torch.div(mean, scratch, out=scratch)
            parameter.addcmul_(scratch, negative, value=self._scale)
