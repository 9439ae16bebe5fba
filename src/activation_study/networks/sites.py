"""Where an activation stands in stacked networks whose gradients autograd finds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from activation_study.networks.kernels import LayerKernel
from activation_study.networks.normalisation import BatchNorm

OnDelta = Callable[[Tensor], None]


class Site:
    """Batch normalisation, where there is one, φ, and a constant that is subtracted from it.

    Attributes:
        gradients: of the scale and the shift of the normalisation, [R, 1, units] each; those of the activation's
            parameters are the kernel's.
    """

    def __init__(self, kernel: LayerKernel, norm: BatchNorm | None, shift: float):
        self.kernel, self.norm, self.shift = kernel, norm, shift
        self.gradients = [] if norm is None else [torch.zeros_like(norm.weight), torch.zeros_like(norm.bias)]

    def draw(self, step: int) -> None:
        """Fix the noise of this step."""
        self.kernel.draw(step)
        if self.norm is not None:
            self.norm.draw(step)

    def train(self, h: Tensor, on_delta: OnDelta | None) -> Tensor:
        """The activations of h [R, B, ..., units] in training mode; backward gives δ to ``on_delta``."""
        x: Tensor = _Activated.apply(h, self, on_delta)
        return x - self.shift if self.shift else x

    def evaluate(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """The input of φ and the activations in evaluation mode, of the shape of h."""
        rows = self.normalised(h, training=False)
        x = self.kernel.forward(rows, torch.empty_like(rows), training=False)
        return rows.view(h.shape), (x.sub_(self.shift) if self.shift else x).view(h.shape)

    def normalised(self, h: Tensor, *, training: bool) -> Tensor:
        """The input of φ as rows [R, N, units]: what is at a position of a sample counts as a sample."""
        rows = h.reshape(len(h), -1, h.shape[-1]).contiguous()
        if self.norm is not None:
            rows = rows.clone() if rows.data_ptr() == h.data_ptr() else rows
            self.norm.forward(rows, training=training)
        return rows


def flat(x: Tensor) -> Tensor:
    """[R, N, units] or, where units are at several positions, [R, N, positions, units]."""
    return x.flatten(2, -2) if x.dim() > 3 else x


class _Activated(torch.autograd.Function):
    """Normalisation and activation, with the backward passes that they have of their own."""

    @staticmethod
    def forward(ctx: Any, h: Tensor, site: Site, on_delta: OnDelta | None) -> Tensor:
        rows = site.normalised(h, training=True)
        x = site.kernel.forward(rows, torch.empty_like(rows))
        ctx.save_for_backward(rows, x)
        ctx.site, ctx.on_delta = site, on_delta
        return x.view(h.shape)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (rows, x), site, (gradient,) = ctx.saved_tensors, ctx.site, gradients
        delta = site.kernel.backward(rows, x, gradient.reshape(rows.shape).contiguous(), torch.empty_like(rows))
        if ctx.on_delta is not None:
            ctx.on_delta(delta.view(gradient.shape).clone())
        if site.norm is not None:
            for mine, found in zip(site.gradients, site.norm.backward(delta), strict=True):
                mine.copy_(found)
        return delta.view(gradient.shape), None, None
