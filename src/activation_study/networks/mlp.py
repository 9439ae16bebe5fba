"""R multilayer perceptrons of one shape, trained as one batched network with a backward pass written out.

Weights are stacked [R, fan-in, fan-out] and activations [R, B, W], so a layer of all replicas is one batched
product. The backward pass holds each layer's δ = ∂L/∂h in its hands, which is what the study measures.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from activation_study.activations.activation import Activation
from activation_study.core.factors import Factors
from activation_study.networks.base import Layer, Visit
from activation_study.networks.initialisation import initial_parameters
from activation_study.networks.kernels import layer_kernel
from activation_study.networks.normalisation import KINDS, BatchNorm
from activation_study.networks.scores import scores


class StackedMLP:
    """R multilayer perceptrons: ``depth`` hidden layers of ``width`` units and a linear output of ``classes`` logits.

    Layers are numbered from 1, nearest the input; ``depth + 1`` is the output.

    Args:
        activation: applied to every hidden layer's pre-activation, one instance per layer and replica where it learns.
        factors: the run's factors (depth, width, normalisation, initialisation, initial_bias, centred).
        constants: the activation's gain, mean and edge of chaos, as ``theory.constants`` gives them.
        features, classes: of the data.
        seeds: one per replica; the initial weights and all noise are functions of it.
        drawn: whether it has initial weights; else they are to be loaded.
    """

    def __init__(
        self,
        activation: Activation,
        factors: Factors,
        constants: Mapping[str, Any],
        features: int,
        classes: int,
        seeds: Sequence[int],
        *,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        drawn: bool = True,
    ):
        self.activation, self.factors, self.constants = activation, factors, constants
        self.features, self.classes, self.seeds = features, classes, list(seeds)
        self.dtype, self.device = dtype, torch.device(device)
        self.replicas, self.depth, self.width = len(self.seeds), factors.depth, factors.width
        self.shift: float | Tensor = float(constants["mean"]) if factors.centred else 0.0
        self.centred = self.shift != 0
        self._workspaces: dict[int, Workspace] = {}

        like: dict[str, Any] = {"dtype": dtype, "device": self.device}
        layers = range(1, self.depth + 1)
        self.kernels = [
            layer_kernel(activation, self.replicas, self.width, seeds=self.seeds, layer=layer, **like)
            for layer in layers
        ]
        noisy = KINDS[factors.normalisation]
        self.norms = [
            BatchNorm(self.replicas, self.width, noisy=noisy, seeds=self.seeds, layer=layer, **like)
            for layer in layers
            if noisy is not None
        ]
        dims = [features, *[self.width] * self.depth, classes]
        if drawn:
            # Replicas of one seed that differ in learning rate share the draw.
            seeded = {seed: initial_parameters(seed, dims, factors, constants) for seed in dict.fromkeys(self.seeds)}
            per_layer = [[seeded[seed][i] for seed in self.seeds] for i in range(self.depth + 1)]
            self.weights = [torch.stack([w for w, _ in layer]).to(**like) for layer in per_layer]
            self.biases = [torch.stack([b for _, b in layer]).unsqueeze(1).to(**like) for layer in per_layer]
        else:
            pairs = list(itertools.pairwise(dims))
            self.weights = [torch.zeros(self.replicas, below, units, **like) for below, units in pairs]
            self.biases = [torch.zeros(self.replicas, 1, units, **like) for _, units in pairs]
        self.layers = [Layer(units, weight) for weight, units in enumerate(dims[1:])]

    @property
    def parameters(self) -> list[Tensor]:
        return [
            *self.weights,
            *self.biases,
            *[p for norm in self.norms for p in (norm.weight, norm.bias)],
            *[p for kernel in self.kernels for p in kernel.parameters.values()],
        ]

    @property
    def owners(self) -> list[int]:
        """The layer, from 1, that each of ``parameters`` belongs to."""
        hidden, all_layers = range(1, self.depth + 1), range(1, self.depth + 2)
        norms = [layer for layer, _ in zip(hidden, self.norms, strict=False) for _ in ("weight", "bias")]
        kernels = [layer for layer, kernel in zip(hidden, self.kernels, strict=True) for _ in kernel.parameters]
        return [*all_layers, *all_layers, *norms, *kernels]

    @property
    def state(self) -> list[Tensor]:
        """See ``base.Network``."""
        return self.parameters + [b for norm in self.norms for b in (norm.running_mean, norm.running_var)]

    @property
    def parameter_count(self) -> int:
        """Trained parameters of one replica."""
        return sum(p[0].numel() for p in self.parameters)

    def like(self, seeds: Sequence[int], dtype: torch.dtype | None = None) -> StackedMLP:
        """See ``base.Network``."""
        return StackedMLP(
            self.activation,
            self.factors,
            self.constants,
            self.features,
            self.classes,
            seeds,
            dtype=dtype or self.dtype,
            device=self.device,
            drawn=False,
        )

    def load(self, state: Sequence[Tensor]) -> None:
        """See ``base.Network``."""
        for mine, theirs in zip(self.state, state, strict=True):
            mine.copy_(theirs)

    def divide(self, layer: int, by: Tensor) -> None:
        """See ``base.Network``."""
        by, start = by.view(-1, 1, 1), self.factors.initial_bias if layer <= self.depth else 0.0
        self.weights[layer - 1].div_(by)
        self.biases[layer - 1].sub_(start).div_(by).add_(start)  # where centred, it holds a part of the weights'

    def draw(self, step: int) -> None:
        """Fix the noise of this step: a pure function of seed, layer and step."""
        for kernel in self.kernels:
            kernel.draw(step)
        for norm in self.norms:
            norm.draw(step)

    def workspace(self, batch: int) -> Workspace:
        """The buffers for a batch of this size, allocated once."""
        if batch not in self._workspaces:
            self._workspaces[batch] = Workspace(self, batch)
        return self._workspaces[batch]

    def loss_and_gradients(
        self,
        inputs: Tensor,
        labels: Tensor,
        update: Callable[[int, Tensor], None],
        on_delta: Callable[[int, Tensor], None] | None = None,
    ) -> Tensor:
        """See ``base.Network``."""
        batch = labels.shape[1]
        work = self.workspace(batch)
        x: Any = inputs
        for i in range(self.depth):
            x = self._activate(i, self._product(i, x, work.h[i]), work.x[i], training=True)
        logits = torch.baddbmm(self.biases[-1], x, self.weights[-1], out=work.logits)
        log_p = torch.log_softmax(logits, 2, dtype=self.dtype)
        loss = -log_p.gather(2, labels.unsqueeze(2)).squeeze(2).mean(1)
        delta = torch.exp(log_p, out=log_p)
        delta.sub_(torch.eq(labels.unsqueeze(2), work.classes, out=work.target)).div_(batch)

        count, norms_at = self.depth + 1, 2 * (self.depth + 1)
        kernels_at = norms_at + 2 * len(self.norms)
        for i in range(self.depth, -1, -1):
            weight_gradient = self._weight_gradient(i, work.x[i - 1] if i else inputs, delta, work.weight_gradients[i])
            bias_gradient = torch.sum(delta, 1, keepdim=True, out=work.bias_gradients[i])
            if i:
                lower = torch.bmm(delta, self.weights[i].transpose(1, 2), out=work.deltas[i % 2])
                kernel = self.kernels[i - 1]
                # A kernel's backward may use its output φ(h), so the constant shift is added back around it.
                output = work.x[i - 1].add_(self.shift) if self.centred else work.x[i - 1]
                kernel.backward(work.h[i - 1], output, lower, lower)
                if on_delta is not None:
                    on_delta(i, lower)
                for offset, gradient in enumerate(kernel.gradients.values()):
                    update(kernels_at + (i - 1) * len(kernel.gradients) + offset, gradient)
                if self.norms:
                    for offset, gradient in enumerate(self.norms[i - 1].backward(lower)):
                        update(norms_at + 2 * (i - 1) + offset, gradient)
                delta = lower
            update(i, weight_gradient)
            update(count + i, bias_gradient)
        return loss

    def evaluate(
        self, inputs: Sequence[Tensor], labels: Sequence[Tensor], visit: Visit | None = None
    ) -> tuple[Tensor, Tensor]:
        """See ``base.Network``."""
        return scores(self.logits(inputs, visit), labels)

    def logits(self, inputs: Sequence[Tensor], visit: Visit | None = None) -> Tensor:
        """Logits [R, N, classes] in evaluation mode for R tensors [N, features]."""
        samples = inputs[0].shape[0]
        h, x, spare = (
            torch.empty(self.replicas, samples, self.width, dtype=self.dtype, device=self.device) for _ in range(3)
        )
        self._first_products(inputs, h)
        for i in range(self.depth):
            if i:
                torch.baddbmm(self.biases[i], x, self.weights[i], out=h)
                x, spare = spare, x
            self._activate(i, h, x, training=False)
            if visit is not None:
                visit(i + 1, h, x)
        return torch.baddbmm(self.biases[-1], x, self.weights[-1])

    def _first_products(self, inputs: Sequence[Tensor], out: Tensor) -> None:
        """The first layer's pre-activations; replicas may share their samples, which are not copied."""
        for replica, data in enumerate(inputs):
            torch.addmm(self.biases[0][replica], data, self.weights[0][replica], out=out[replica])

    def slope(self, layer: int, h: Tensor) -> Tensor:
        """φ′(h) of a hidden layer in evaluation mode, of the shape of h [R, N, W]."""
        return self.kernels[layer - 1].derivative(h)

    def _product(self, i: int, below: Any, out: Tensor) -> Tensor:
        """The pre-activations of layer i + 1 in training."""
        return torch.baddbmm(self.biases[i], below, self.weights[i], out=out)

    def _weight_gradient(self, i: int, below: Any, delta: Tensor, out: Tensor) -> Tensor:
        return torch.bmm(below.transpose(1, 2), delta, out=out)

    def gradient_memory(self) -> tuple[list[Tensor], list[Tensor]]:
        """Where the gradients of ``weights`` and ``biases`` go. Those of one shape share a buffer, where each is used
        up before the next one is made; Adam keeps all."""
        if self.factors.optimiser == "adam":
            return [torch.empty_like(w) for w in self.weights], [torch.empty_like(b) for b in self.biases]
        weights, biases = ({p.shape: torch.empty_like(p) for p in same} for same in (self.weights, self.biases))
        return [weights[weight.shape] for weight in self.weights], [biases[bias.shape] for bias in self.biases]

    def _activate(self, i: int, h: Tensor, x: Tensor, *, training: bool) -> Tensor:
        if self.norms:
            self.norms[i].forward(h, training=training)
        self.kernels[i].forward(h, x, training=training)
        return x.sub_(self.shift) if self.centred else x


class Workspace:
    """The buffers of one training step for a batch of ``batch`` samples: nothing is allocated while training."""

    def __init__(self, network: StackedMLP, batch: int):
        def zeros(*shape: int) -> Tensor:  # in a stack's empty slots they stay zero
            return torch.zeros(network.replicas, *shape, dtype=network.dtype, device=network.device)

        self.h = [zeros(batch, network.width) for _ in range(network.depth)]
        # Half the memory is half the traffic, where the activation allows it and no shift blurs φ(h).
        over = [kernel.in_place and not network.centred for kernel in network.kernels]
        self.x = [h if same else torch.zeros_like(h) for h, same in zip(self.h, over, strict=True)]
        self.deltas = [zeros(batch, network.width) for _ in range(2)]
        self.logits = zeros(batch, network.classes)
        self.target = torch.empty_like(self.logits)
        self.classes = torch.arange(network.classes, device=network.device)
        self.weight_gradients, self.bias_gradients = network.gradient_memory()
