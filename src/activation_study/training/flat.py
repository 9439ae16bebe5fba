"""The rules of ``optimisers`` in one pass over all parameters; what changes from step to step is on the device."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from activation_study.training.optimisers import ADAM_BETAS, ADAM_EPS, MOMENTUM, STATES, clip_scale


class FlatOptimiser:
    """One rule over a row of parameters for each replica [R, P], updated in place.

    Args:
        kind: see ``Optimiser``.
        parameters, gradients: [R, P]; the gradients are used up.
        rates: learning rates [R], to be changed in place: at 0 a replica stays where it is.
        clip: the largest norm of all gradients of a replica, see ``Optimiser``.
        parts: the blocks of ``gradients`` within which norms are taken; together they hold all that is not zero.
    """

    def __init__(
        self,
        kind: str,
        parameters: Tensor,
        gradients: Tensor,
        rates: Tensor,
        clip: float | None = None,
        parts: Sequence[tuple[slice, slice]] = (),
    ):
        self.kind, self.parameters, self.gradients, self.rates = kind, parameters, gradients, rates
        self.clip, self.parts = clip, parts
        self.states = [torch.zeros_like(parameters) for _ in range(STATES[kind])]
        self.count = torch.zeros((), dtype=torch.float64, device=parameters.device)
        self._norms = torch.zeros_like(parameters[:, 0])

    def update(self) -> None:
        """Take one step along the gradients."""
        self.count.add_(1)
        gradients, parameters = self.gradients, self.parameters
        if self.clip is not None:
            self._cut(self.clip)
        negative = self.rates.neg().unsqueeze(1)
        if self.kind == "sgd":
            parameters.addcmul_(gradients, negative)
        elif self.kind == "momentum":
            (velocity,) = self.states
            parameters.addcmul_(torch.add(gradients, velocity, alpha=MOMENTUM, out=velocity), negative)
        else:
            (mean, square), (beta, beta2) = self.states, ADAM_BETAS
            unbiased, unbiased2 = ((1 - b**self.count).to(parameters.dtype) for b in ADAM_BETAS)
            mean.lerp_(gradients, 1 - beta)
            square.mul_(beta2).addcmul_(gradients, gradients, value=1 - beta2)
            torch.sqrt(square, out=gradients).div_(unbiased2.sqrt()).add_(ADAM_EPS)
            parameters.addcmul_(torch.div(mean, gradients, out=gradients), negative / unbiased)

    def _cut(self, clip: float) -> None:
        for rows, columns in self.parts:
            torch.linalg.vector_norm(self.gradients[rows, columns], dim=1, out=self._norms[rows])
        self.gradients.mul_(clip_scale(self._norms, clip).unsqueeze(1))
