"""The layers of a multilayer perceptron, connected otherwise: the way through them is given, autograd finds back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from activation_study.networks.base import Visit
from activation_study.networks.mlp import StackedMLP

Wire = Callable[[Callable[[int, Tensor], Tensor], Tensor, int], Tensor]
"""``wire(layer, x, depth)`` → logits: ``layer(i, x)`` is layer i of x, φ included, and for i = depth + 1 the output."""


class WiredMLP(StackedMLP):
    """R networks of the layers of a :class:`StackedMLP`, through which an input takes the way of `wire`.

    Each layer is used once. ``wire`` sees stacked tensors [R, B, units] and may add, scale or join them.
    """

    def __init__(self, wire: Wire, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.wire = wire

    def like(self, seeds: Sequence[int], dtype: torch.dtype | None = None) -> WiredMLP:
        """See ``base.Network``."""
        arguments = self.activation, self.factors, self.constants, self.features, self.classes, seeds
        return WiredMLP(self.wire, *arguments, dtype=dtype or self.dtype, device=self.device, drawn=False)

    def loss_and_gradients(
        self,
        inputs: Tensor,
        labels: Tensor,
        update: Callable[[int, Tensor], None],
        on_delta: Callable[[int, Tensor], None] | None = None,
    ) -> Tensor:
        """See ``base.Network``; every gradient is known before the first update."""
        leaves = [parameter.detach().requires_grad_() for parameter in self.parameters]
        owned = [[j for j, owner in enumerate(self.owners) if owner == i] for i in range(1, self.depth + 2)]

        def layer(number: int, x: Tensor) -> Tensor:
            weight, bias, *rest = (leaves[j] for j in owned[number - 1])
            h = torch.baddbmm(bias, x, weight)
            return h if number > self.depth else _Activated.apply(h, self, number, on_delta, *rest)

        with torch.enable_grad():
            logits = self.wire(layer, inputs, self.depth)
            losses = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none")
            loss = losses.view(labels.shape).mean(1)
        for index, gradient in enumerate(torch.autograd.grad(loss.sum(), leaves)):
            update(index, gradient)
        return loss.detach()

    def logits(self, inputs: Sequence[Tensor], visit: Visit | None = None) -> Tensor:
        """See ``base.Network``."""

        def layer(number: int, x: Tensor) -> Tensor:
            h = torch.baddbmm(self.biases[number - 1], x, self.weights[number - 1])
            if number > self.depth:
                return h
            x = self._activate(number - 1, h, torch.empty_like(h), training=False)
            if visit is not None:
                visit(number, h, x)
            return x

        return self.wire(layer, torch.stack(list(inputs)), self.depth)


class _Activated(torch.autograd.Function):
    """Normalisation and activation of a layer, with the backward passes that they have of their own."""

    @staticmethod
    def forward(ctx: Any, h: Tensor, network: WiredMLP, number: int, on_delta: Any, *owned: Tensor) -> Tensor:
        h = h.clone()
        x = network._activate(number - 1, h, torch.empty_like(h), training=True)
        ctx.save_for_backward(h, x)
        ctx.layer = network, number, on_delta
        return x

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (h, x), (network, number, on_delta) = ctx.saved_tensors, ctx.layer
        kernel, delta = network.kernels[number - 1], gradients[0].clone()
        # A kernel's backward may use its output φ(h), so the constant shift is added back.
        kernel.backward(h, x + network.shift if network.centred else x, delta, delta)
        if on_delta is not None:
            on_delta(number, delta)
        norm = network.norms[number - 1].backward(delta) if network.norms else ()
        return (delta, None, None, None, *norm, *(gradient.clone() for gradient in kernel.gradients.values()))
