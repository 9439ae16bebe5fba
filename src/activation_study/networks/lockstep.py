"""Stacked networks of one shape as one, though their activations and inputs differ: what a GPU trains in one go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby
from typing import Any, cast

import torch
from torch import Tensor

from activation_study.networks.kernels import SLOPES, LayerKernel, RandomSlope, layer_kernel
from activation_study.networks.mlp import StackedMLP
from activation_study.networks.noise import window_start
from activation_study.networks.normalisation import NOISE, BatchNorm, noise_numbers

ALIGNED = 32
"""Numbers: where each tensor begins in its replica's row, so that the kernels chosen for it do not depend on others."""


@dataclass(frozen=True)
class Part:
    """Networks of one activation and one dataset in a lockstep: those of ``network`` stand in the slots ``chosen``,
    numbers below ``size`` that count from ``start``."""

    network: StackedMLP
    start: int
    size: int
    chosen: Sequence[int]

    @property
    def seeds(self) -> list[int]:
        """One a slot; an empty slot needs one too."""
        seeds = [self.network.seeds[0]] * self.size
        for place, seed in zip(self.chosen, self.network.seeds, strict=True):
            seeds[place] = seed
        return seeds

    @property
    def rows(self) -> slice:
        """All its slots, taken or not."""
        return slice(self.start, self.start + self.size)


class Lockstep(StackedMLP):
    """The training step of several stacked networks as one, in a fixed number of slots.

    Products and normalisation of the hidden layers run over all slots, an activation over the neighbours that share
    it, the first layer's products and all sums within an activation over one part. So each product and sum has one
    shape whatever else is trained, and a network's bytes do not depend on its company.

    Args:
        parts: of one depth, width, normalisation and number of classes; neighbours share a kernel where they can.
        slots: R, at least as many as the parts take.
        batch: B, samples a step.

    Attributes:
        flat, gradients: all parameters of a replica in one row [R, P], and their gradients. What no part uses is zero.
        inputs: of each part [size, B, features], to be filled before a step.
        starts: where the windows of the layers' noise begin, as ``windows`` gives them, likewise.
    """

    def __init__(self, parts: Sequence[Part], slots: int, batch: int):
        first = parts[0].network
        self.parts, self.factors, self.classes = list(parts), first.factors, first.classes
        self.dtype, self.device = first.dtype, first.device
        self.replicas, self.depth, self.width = slots, first.depth, first.width
        self._workspaces = {}
        like: dict[str, Any] = {"dtype": self.dtype, "device": self.device}
        widest = max((part.network for part in parts), key=lambda network: network.features)
        self._offsets, row = _offsets(widest)
        self.flat, self.gradients = torch.zeros(slots, row, **like), torch.zeros(slots, row, **like)
        self.inputs = [torch.zeros(part.size, batch, part.network.features, **like) for part in parts]
        self.batch, self._noisy = batch, any(norm.noisy for norm in first.norms)
        self.starts = torch.zeros(len(self.windows(0)), dtype=torch.int64, device=self.device)
        self.centred = any(part.network.centred for part in parts)
        self.shift = torch.zeros(slots, 1, 1, **like)
        for part in parts:
            self.shift[part.rows] = part.network.shift

        every, split = slice(0, slots), (self.depth + 1, 2 * (self.depth + 1), _common(first))
        values, self._gradients = (
            [self._view(flat, every, widest, index) for index in range(split[-1])]
            for flat in (self.flat, self.gradients)
        )
        self.weights, self.biases = values[: split[0]], values[split[0] : split[1]]
        self.norms = [self._norm(layer) for layer, _ in enumerate(first.norms)]
        pairs = zip(values[split[1] :: 2], values[split[1] + 1 :: 2], strict=True)
        for norm, (weight, bias) in zip(self.norms, pairs, strict=True):
            norm.weight, norm.bias = weight, bias
        self._first = [
            [self._view(flat, part.rows, part.network, 0) for flat in (self.flat, self.gradients)] for part in parts
        ]
        segments = [self._segment(list(same)) for _, same in groupby(parts, _kernel_of)]
        self.kernels = [_Segments(kernels) for kernels in zip(*segments, strict=True)]

    def windows(self, step: int) -> list[int]:
        """Where the noise of a step begins, that of random slopes layer by layer, then that of noisy normalisation."""
        used = {SLOPES: self.batch * self.width}
        if self._noisy:
            used[NOISE] = noise_numbers(self.batch, self.width)
        layers = range(1, self.depth + 1)
        return [window_start(kind, layer, step, numbers) for kind, numbers in used.items() for layer in layers]

    def views(self, flat: Tensor, part: Part) -> list[Tensor]:
        """The ``parameters`` of a part's slots [size, ...], in the order of its network, of a tensor like ``flat``."""
        return [self._view(flat, part.rows, part.network, index) for index in range(len(part.network.parameters))]

    def blocks(self, part: Part) -> list[Tensor]:
        """The ``state`` of a part's slots [size, ...], in the order of its network."""
        running = [b[part.rows] for norm in self.norms for b in (norm.running_mean, norm.running_var)]
        return self.views(self.flat, part) + running

    def row(self, part: Part) -> int:
        """The length of its rows of ``flat`` that a part uses."""
        return self._offsets[0] + part.network.weights[0][0].numel()

    def differentiate(self, labels: Tensor) -> Tensor:
        """The mean loss of ``inputs`` with labels [R, B] for each slot [R]; its gradients are in ``gradients`` then."""
        return self.loss_and_gradients(cast(Any, self.inputs), labels, self._store)

    def _store(self, index: int, gradient: Tensor) -> None:
        """Keep what is not written to its place by itself: the gradients of the normalisation."""
        if index >= 2 * (self.depth + 1):
            self._gradients[index].copy_(gradient)

    def gradient_memory(self) -> tuple[list[Tensor], list[Tensor]]:
        """See ``StackedMLP``; here each has its own."""
        layers = self.depth + 1
        return self._gradients[:layers], self._gradients[layers : 2 * layers]

    def _view(self, flat: Tensor, rows: slice, network: StackedMLP, index: int) -> Tensor:
        shape, start = network.parameters[index].shape[1:], self._offsets[index]
        return flat[rows, start : start + shape.numel()].view(-1, *shape)

    def _norm(self, layer: int) -> BatchNorm:
        seeds = [seed for part in self.parts for seed in part.seeds]
        seeds += [seeds[0]] * (self.replicas - len(seeds))
        like: dict[str, Any] = {"dtype": self.dtype, "device": self.device}
        norm = BatchNorm(self.replicas, self.width, noisy=self._noisy, seeds=seeds, layer=layer + 1, **like)
        if self._noisy:
            place = self.depth + layer
            norm.noise.follow(self.starts[place : place + 1], noise_numbers(self.batch, self.width))
        return norm

    def _segment(self, parts: list[Part]) -> list[tuple[slice, LayerKernel]]:
        """The kernels of all layers for neighbours with one activation, on parameters of ours."""
        network, rows = parts[0].network, slice(parts[0].start, parts[-1].rows.stop)
        seeds = [seed for part in parts for seed in part.seeds]
        kernels = []
        for layer in range(self.depth):
            kernel = layer_kernel(
                network.activation,
                len(seeds),
                self.width,
                seeds=seeds,
                layer=layer + 1,
                dtype=self.dtype,
                device=self.device,
            )
            for memory, flat in ((kernel.parameters, self.flat), (kernel.gradients, self.gradients)):
                for name in memory:  # at most one, see `_offsets`
                    memory[name] = self._view(flat, rows, network, _common(network) + layer)
            if isinstance(kernel, RandomSlope):
                kernel.noise.follow(self.starts[layer : layer + 1], self.batch * self.width)
            kernels.append((rows, kernel))
        return kernels

    def _product(self, i: int, below: Any, out: Tensor) -> Tensor:
        if i:
            return super()._product(i, below, out)
        for part, inputs, (weight, _) in zip(self.parts, self.inputs, self._first, strict=True):
            torch.baddbmm(self.biases[0][part.rows], inputs, weight, out=out[part.rows])
        return out

    def _first_products(self, inputs: Sequence[Tensor], out: Tensor) -> None:
        """See ``StackedMLP``; slots whose samples have no features are left out."""
        for part, (weight, _) in zip(self.parts, self._first, strict=True):
            start = 0
            for _, neighbours in groupby(inputs[part.rows], id):
                data, *others = neighbours
                rows = slice(start, start := start + 1 + len(others))
                if data.numel():
                    biases, same = self.biases[0][part.rows][rows], data.expand(1 + len(others), *data.shape)
                    torch.baddbmm(biases, same, weight[rows], out=out[part.rows][rows])

    def _weight_gradient(self, i: int, below: Any, delta: Tensor, out: Tensor) -> Tensor:
        if i:
            return super()._weight_gradient(i, below, delta, out)
        for part, inputs, (_, gradient) in zip(self.parts, self.inputs, self._first, strict=True):
            torch.bmm(inputs.transpose(1, 2), delta[part.rows], out=gradient)
        return out


class _Segments(LayerKernel):
    """The activations of a layer, each on its slots; their parameters are trained elsewhere."""

    def __init__(self, kernels: Sequence[tuple[slice, LayerKernel]]):
        super().__init__()
        self._kernels = kernels
        self.in_place = all(kernel.in_place for _, kernel in kernels)

    def forward(self, h: Tensor, out: Tensor, training: bool = True) -> Tensor:
        for rows, kernel in self._kernels:
            kernel.forward(h[rows], out[rows], training)
        return out

    def backward(self, h: Tensor, x: Tensor, grad: Tensor, out: Tensor) -> Tensor:
        for rows, kernel in self._kernels:
            kernel.backward(h[rows], x[rows], grad[rows], out[rows])
        return out


def can_hold(network: object) -> bool:
    """Whether a network can be a part: what happens in its training step can be captured by a CUDA graph."""
    return type(network) is StackedMLP and all(kernel.capturable for kernel in network.kernels)


def _kernel_of(part: Part) -> tuple[Any, int | None]:
    """Neighbours share a kernel without parameters; the gradients of parameters are sums, and stay within a part."""
    learns = bool(part.network.kernels[0].parameters)
    return part.network.activation.entry, part.start if learns else None


def _common(network: StackedMLP) -> int:
    """How many of a network's parameters are not an activation's."""
    return 2 * (network.depth + 1 + len(network.norms))


def _offsets(network: StackedMLP) -> tuple[list[int], int]:
    """Where each of a network's ``parameters`` begins in a row, and the length of the row.

    The first layer's weights come last, as their number depends on the dataset. Each layer has room for a parameter a
    unit of its activation, whether that learns or not.
    """
    sizes = [p[0].numel() for p in network.parameters[1 : _common(network)]] + [network.width] * network.depth
    sizes.append(network.weights[0][0].numel())
    *starts, end = accumulate((-(-size // ALIGNED) * ALIGNED for size in sizes), initial=0)
    return [starts[-1], *starts[:-1]], end
