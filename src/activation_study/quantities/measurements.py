"""What some experiments measure beside the probes: noise, selectivity, covariate shift, signs, saturation, the path.

Every function gives one float64 number per replica, NaN where the quantity does not exist.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor

from activation_study.core.seeds import generator
from activation_study.networks.mlp import StackedMLP
from activation_study.quantities.probe import GRADIENT_METRICS, PROBE_STEP, SATURATED, GradientView

SATURATION_SAMPLES = 128


def noise_like(inputs: Sequence[Tensor], seeds: Sequence[int]) -> list[Tensor]:
    """Standard normal noise for each replica's inputs [N, F], float64; replicas of one seed share it.

    Drawn on the CPU: a function of seed and shape alone.
    """
    drawn: dict[int, Tensor] = {}
    for data, seed in zip(inputs, seeds, strict=True):
        if seed not in drawn:
            noise = torch.randn(data.shape, generator=generator(seed, "input noise"), dtype=torch.float64)
            drawn[seed] = noise.to(data.device)
    return [drawn[seed] for seed in seeds]


def noise_accuracy(
    network: StackedMLP, inputs: Sequence[Tensor], labels: Sequence[Tensor], noise: Sequence[Tensor], sigma: float
) -> Tensor:
    """Accuracy [R] in evaluation mode on inputs + σ · noise; inputs, labels and noise are R tensors each."""
    noisy = [data.double() + sigma * draw.double() for data, draw in zip(inputs, noise, strict=True)]
    return _exact(network).evaluate(noisy, labels)[1]


def noise_gain(network: StackedMLP, inputs: Sequence[Tensor], noise: Sequence[Tensor], sigma: float) -> Tensor:
    """How much of the noise in its inputs u each hidden layer hands on, relative to the signal [R, depth].

    ρ = (E‖x(u + ε) − x(u)‖² / Var x) / (E‖ε‖² / Var u) with ε = σ · noise, in evaluation mode; Var is the variance
    over samples summed over units or features. Below 1, noise is suppressed. NaN if x is constant or ε zero.
    """
    samples, clean = len(inputs[0]), [data.double() for data in inputs]
    drawn = [sigma * draw.double() for draw in noise]
    power = torch.stack([epsilon.square().sum(1).mean() for epsilon in drawn])
    signal_to_noise = torch.stack([_total_variance(data.unsqueeze(0))[0] for data in clean]) / power
    gains = []

    def visit(layer: int, h: Tensor, x: Tensor) -> None:
        moved = (x[:, samples:] - x[:, :samples]).square().sum(2).mean(1)
        gain = moved / _total_variance(x[:, :samples]) * signal_to_noise
        gains.append(torch.where(gain.isfinite(), gain, torch.nan))

    # Clean and noisy samples go up together, so no layer's activations have to be kept.
    both = [torch.cat([data, data + epsilon]) for data, epsilon in zip(clean, drawn, strict=True)]
    _exact(network).logits(both, visit)
    return torch.stack(gains, 1)


def selectivity(x: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Mean class selectivity of a layer's units [R]: (μ_max − μ_rest)/(μ_max + μ_rest) (Morcos et al. 2018).

    μ_max is a unit's largest class mean, μ_rest the mean of the others. The index wants numbers that are not negative,
    so a unit is first shifted by its minimum; a constant one counts as 0. Absent classes are left out; NaN for one.

    Args:
        x: activations [R, N, W]. labels: [R, N], int64, below ``classes``.
    """
    x = x.double()
    shifted = x - x.amin(1, keepdim=True)
    members = F.one_hot(labels, classes).double()
    counts = members.sum(1).unsqueeze(2)
    present = counts > 0
    means = torch.bmm(members.transpose(1, 2), shifted) / counts.clamp_min(1)
    largest = means.amax(1)  # an absent class has 0, which is no class's excess over the others
    rest = (means.sum(1) - largest) / (present.sum(1) - 1)
    index = torch.where(largest == 0, 0.0, (largest - rest) / (largest + rest))
    return torch.where(present.sum((1, 2)) > 1, index.mean(1), torch.nan)


def covariate_shift(
    exact: StackedMLP, inputs: Tensor, labels: Tensor, rates: Tensor, layers: Sequence[int]
) -> dict[int, Tensor]:
    """How far the updates below a layer turn its gradient: ‖G − G′‖/‖G‖ [R] for each layer (Santurkar et al. 2018).

    G is the gradient of the layer's weights in training mode with frozen noise, G′ the same after all parameters of
    the layers below took a step of plain SGD. NaN where G is zero. The network is left as it was.

    Args:
        exact: in float64. inputs, labels: [R, B, F] and [R, B]. rates: the learning rates [R].
        layers: numbers from 1; nothing is below layer 1, so it has 0.
    """
    owners, shifts, moved = _owners(exact), {}, 1
    rates = rates.to(exact.device, exact.dtype)
    with _left_alone(exact):
        wanted = [index for index, owner in enumerate(owners) if owner <= max(layers)]
        gradients = _gradients(exact, inputs, labels, wanted)
        for layer in sorted(set(layers)):
            for index, gradient in gradients.items():
                if moved <= owners[index] < layer:
                    exact.parameters[index].sub_(rates.view(-1, *[1] * (gradient.dim() - 1)) * gradient)
            moved = layer
            before = gradients[layer - 1]
            change = before - _gradients(exact, inputs, labels, [layer - 1])[layer - 1]
            size = before.flatten(1).norm(dim=1)
            shifts[layer] = torch.where(size > 0, change.flatten(1).norm(dim=1) / size, torch.nan)
    return shifts


def sign_agreement(gradient: Tensor) -> tuple[Tensor, Tensor]:
    """|Σ sign g| / #(g ≠ 0) of weight gradients [R, fan-in, fan-out], in two ways, each [R].

    First over the incoming weights of each neuron, averaged over neurons with any gradient; then over all weights of
    the layer at once. 1 if all signs agree; NaN where every gradient is zero.
    """
    per_neuron = GRADIENT_METRICS["sign_agreement"]
    one_neuron = gradient.flatten(1).unsqueeze(2)
    unknown = gradient.new_full((len(gradient),), torch.nan)
    views = (GradientView(unknown, part, part) for part in (gradient, one_neuron))
    return per_neuron(next(views)), per_neuron(next(views))


def sign_agreements(
    exact: StackedMLP, inputs: Tensor, labels: Tensor, batches: Sequence[int] = (1, 8, 64)
) -> dict[int, tuple[Tensor, Tensor]]:
    """``sign_agreement`` of every hidden layer, per neuron and per layer [R, depth], by batch size.

    In training mode with frozen noise, on the first samples of inputs [R, N, F] and labels [R, N]; batch sizes above
    N are left out. NaN for one sample below batch normalisation, which lets no gradient through. Changes nothing.
    """
    found = {}
    with _left_alone(exact):
        for batch in (size for size in batches if size <= inputs.shape[1]):
            gradients = _gradients(exact, inputs[:, :batch].contiguous(), labels[:, :batch], range(exact.depth))
            neuron, layer_wide = zip(*(sign_agreement(gradients[i]) for i in range(exact.depth)), strict=True)
            found[batch] = torch.stack(neuron, 1), torch.stack(layer_wide, 1)
    return found


def saturation(network: StackedMLP, inputs: Sequence[Tensor], slope_max: float) -> Tensor:
    """The part of all hidden layers' elements with |φ′(h)| below a tenth of the largest slope [R].

    In evaluation mode and the network's dtype, on the first ``SATURATION_SAMPLES`` of each replica's inputs [N, F].
    """
    shares = []

    def visit(layer: int, h: Tensor, x: Tensor) -> None:
        slope = network.kernels[layer - 1].derivative(h).abs_()
        shares.append((slope < SATURATED * slope_max).flatten(1).double().mean(1))

    network.logits([data[:SATURATION_SAMPLES] for data in inputs], visit)
    return torch.stack(shares).mean(0)


class Path:
    """The way of R replicas through parameter space, step by step, from where ``parameters`` [R, ...] now are."""

    def __init__(self, parameters: Sequence[Tensor]):
        self._start = torch.cat([p.flatten(1) for p in parameters], 1)
        self._here, self._spare = self._start.clone(), torch.empty_like(self._start)
        self._update = torch.zeros_like(self._start)
        # of each replica: ‖the last update‖, Σ‖update‖, Σcos and the number of cosines
        sums = torch.zeros(4, len(self._start), dtype=torch.float64, device=self._start.device)
        self._norm, self._length, self._cosines, self._pairs = sums

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
        distance = torch.linalg.vector_norm(self._here.double() - self._start.double(), dim=1)
        return self._length / distance

    def step_cosine(self) -> Tensor:
        """Mean cosine between an update and the next [R], where neither is zero; NaN without such a pair."""
        return self._cosines / self._pairs

    def state(self) -> list[Tensor]:
        """For ``load``: the path's own memory, [R, ...], to be copied before the next step."""
        return [self._start, self._here, self._update, self._norm, self._length, self._cosines, self._pairs]

    def load(self, state: Sequence[Tensor]) -> None:
        """Copy the ``state`` of a path of as many replicas and parameters."""
        for mine, theirs in zip(self.state(), state, strict=True):
            mine.copy_(theirs)

    def taken(self, replicas: Sequence[int]) -> Path:
        """The path of the chosen replicas."""
        state = [tensor[list(replicas)] for tensor in self.state()]
        (other := Path(state[:1])).load(state)
        return other


def _exact(network: StackedMLP) -> StackedMLP:
    """The network in float64."""
    if network.dtype == torch.float64:
        return network
    exact = network.like(network.seeds, torch.float64)
    exact.load(network.parameters + network.buffers)
    return exact


def _total_variance(x: Tensor) -> Tensor:
    """Variance over samples of x [R, N, W], summed over units [R]; exactly zero if x is constant."""
    centred = x - x[:, :1]
    return (centred - centred.mean(1, keepdim=True)).square().mean(1).sum(1)


def _owners(network: StackedMLP) -> list[int]:
    """The layer, from 1, of each tensor of the network's ``parameters``."""
    layers = range(1, network.depth + 1)
    norms = [layer for layer, _ in zip(layers, network.norms, strict=False) for _ in ("weight", "bias")]
    kernels = [layer for layer, kernel in zip(layers, network.kernels, strict=True) for _ in kernel.parameters]
    return [*layers, network.depth + 1, *layers, network.depth + 1, *norms, *kernels]


@contextmanager
def _left_alone(network: StackedMLP) -> Iterator[None]:
    """Give a network its parameters and running statistics back, exactly."""
    before = [tensor.clone() for tensor in network.parameters + network.buffers]
    try:
        yield
    finally:
        network.load(before)


def _gradients(network: StackedMLP, inputs: Tensor, labels: Tensor, wanted: Collection[int]) -> dict[int, Tensor]:
    """The gradients of the wanted ``parameters``, by index, in training mode with the probes' noise."""
    found = {}

    def update(index: int, gradient: Tensor) -> None:
        if index in wanted:
            found[index] = gradient.clone()

    network.draw(PROBE_STEP)
    network.loss_and_gradients(inputs, labels, update)
    return found
