"""What noise in the inputs does to a trained network.

On the first 256 validation samples u, in evaluation mode, with ε = σ z and z ~ N(0, 1) for each feature; Var is the
variance over samples, summed over units or features; x_l is what layer l makes of an input.

noise_accuracy: #{n: the prediction for u_n + ε_n is right} / N; the dose is σ. Source: the definition.
noise_gain: (E ‖x_l(u + ε) − x_l(u)‖² / Var x_l) / (E ‖ε‖² / Var u); the dose is σ = 0.1. Source: this study's, of the
    "noise-robust deactivation state" of Clevert et al. (2016), arXiv:1511.07289.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from activation_study.core.registry import torch
from activation_study.core.seeds import generator
from activation_study.quantities.base import Measured, Measurement, Moment, Taken, few
from activation_study.quantities.exact import exact_copy

if TYPE_CHECKING:
    from torch import Tensor

    from activation_study.networks.base import Network

SIGMAS = (0.0, 0.1, 0.25, 0.5, 1.0)
"""Standard deviations of the input noise."""
GAIN_SIGMA = 0.1


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
    network: Network,
    inputs: Sequence[Tensor],
    labels: Sequence[Tensor],
    noise: Sequence[Tensor],
    sigma: float,
) -> Tensor:
    """Accuracy [R] in evaluation mode on inputs + σ · noise; inputs, labels and noise are R tensors each."""
    noisy = [data.double() + sigma * draw.double() for data, draw in zip(inputs, noise, strict=True)]
    return exact_copy(network).evaluate(noisy, labels)[1]


def noise_gain(network: Network, inputs: Sequence[Tensor], noise: Sequence[Tensor], sigma: float) -> Tensor:
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
        x = x.flatten(2)
        moved = (x[:, samples:] - x[:, :samples]).square().sum(2).mean(1)
        gain = moved / _total_variance(x[:, :samples]) * signal_to_noise
        gains.append(torch.where(gain.isfinite(), gain, torch.nan))

    # Clean and noisy samples go up together, so no layer's activations have to be kept.
    both = [torch.cat([data, data + epsilon]) for data, epsilon in zip(clean, drawn, strict=True)]
    exact_copy(network).logits(both, visit)
    return torch.stack(gains, 1)


def _total_variance(x: Tensor) -> Tensor:
    """Variance over samples of x [R, N, W], summed over units [R]; exactly zero if x is constant."""
    centred = x - x[:, :1]
    return (centred - centred.mean(1, keepdim=True)).square().mean(1).sum(1)


def _take(moment: Moment) -> Iterator[Taken]:
    network, inputs, labels = moment.network, few(moment.inputs), few(moment.labels)
    noise = noise_like(inputs, network.seeds)
    for sigma in SIGMAS:
        yield "noise_accuracy", 0, sigma, noise_accuracy(network, inputs, labels, noise, sigma)
    for layer, gains in enumerate(noise_gain(network, inputs, noise, GAIN_SIGMA).T, 1):
        yield "noise_gain", layer, GAIN_SIGMA, gains


DECLARED = (
    Measurement(
        "noise",
        (
            Measured(
                "noise_accuracy",
                "fraction",
                "accuracy with noise of standard deviation dose on the validation inputs",
                claimed=False,
            ),
            Measured(
                "noise_gain",
                "ratio",
                "relative variance of that noise in a layer over that in the inputs",
                options=("layers",),
            ),
        ),
        "end",
        _take,
    ),
)
