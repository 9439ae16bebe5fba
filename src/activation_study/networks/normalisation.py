"""Batch normalisation of stacked pre-activations, its backward written out, and its noisy variant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from activation_study.networks.noise import Pool

GROUPS = 8
"""Of group normalisation, where as many divide the units."""
EPS, MOMENTUM = 1e-5, 0.1
NOISE_SHIFT, NOISE_SCALE, NOISE_SAMPLE = 0.5, 0.25, 0.1
"""Half ranges of the noise: a unit's shift and scale at a step, and what each sample's differ from that."""
NOISE = "batch norm noise"

KINDS = {"none": None, "batch": False, "noisy_batch": True}
"""Whether the batch normalisation of that name is noisy."""


@dataclass(frozen=True)
class _Symmetric:
    """U(-1, 1)."""

    def quantile(self, u: Tensor) -> Tensor:
        return 2 * u - 1


class BatchNorm:
    """nn.BatchNorm1d for R replicas of one layer (Ioffe & Szegedy 2015): normalise over the batch, scale, shift.

    With ``noisy``, each unit is then scaled and shifted at random, anew at every step and a little otherwise for each
    sample: the distributions that the next layer sees are unstable by design (after Santurkar et al. 2018, section
    2.2). Here a unit's shift is U(±0.5) and its scale 1 + U(±0.25), and a sample adds U(±0.1) to either: most of
    the noise moves whole distributions, and little of it hides what tells samples apart. It is a pure function of
    seed, layer and step, from a pool of its seed (windows of two steps may overlap), and absent in evaluation.
    """

    def __init__(
        self,
        replicas: int,
        width: int,
        *,
        noisy: bool,
        seeds: Sequence[int],
        layer: int,
        dtype: torch.dtype,
        device: torch.device,
    ):
        zeros = torch.zeros((replicas, 1, width), dtype=dtype, device=device)
        self.weight, self.bias = torch.ones_like(zeros), zeros.clone()
        self.running_mean, self.running_var = zeros, torch.ones_like(zeros)
        self.noisy = noisy
        self.noise = Pool(NOISE, _Symmetric(), 0.0, seeds, layer, dtype, device)
        half_ranges = [NOISE_SCALE, NOISE_SHIFT]  # a CUDA graph cannot bring them to the device
        self._half_range = torch.tensor(half_ranges, dtype=dtype, device=device).view(2, 1, 1)

    def draw(self, step: int) -> None:
        """Fix the noise of this step."""
        self.noise.draw(step)

    def forward(self, h: Tensor, *, training: bool) -> None:
        """Normalise ``h`` [R, B, W] in place."""
        if not training:
            h.sub_(self.running_mean).mul_(self.weight * torch.rsqrt(self.running_var + EPS)).add_(self.bias)
            return
        samples = h.shape[1]
        mean = h.mean(1, keepdim=True)
        h.sub_(mean)
        variance = h.square().mean(1, keepdim=True)
        self.rstd = torch.rsqrt(variance + EPS)
        self.normalised = h * self.rstd
        torch.mul(self.normalised, self.weight, out=h)
        h.add_(self.bias)
        if self.noisy:
            self.noise_scale, shift = self._noise(h)
            h.mul_(self.noise_scale).add_(shift)
        self.running_mean.lerp_(mean, MOMENTUM)
        self.running_var.lerp_(variance * (samples / max(samples - 1, 1)), MOMENTUM)

    def backward(self, delta: Tensor) -> tuple[Tensor, Tensor]:
        """Turn ∂L/∂output into ∂L/∂input in place; returns the gradients of weight and bias [R, 1, W]."""
        if self.noisy:
            delta.mul_(self.noise_scale)
        bias_gradient = delta.sum(1, keepdim=True)
        weight_gradient = (delta * self.normalised).sum(1, keepdim=True)
        samples = delta.shape[1]
        delta.sub_(bias_gradient / samples).addcmul_(self.normalised, weight_gradient, value=-1 / samples)
        delta.mul_(self.weight * self.rstd)
        return weight_gradient, bias_gradient

    def _noise(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """What the normalised pre-activations are scaled and shifted by [R, B, W]."""
        replicas, samples, width = h.shape
        numbers = self.noise.window(noise_numbers(samples, width))
        unit = numbers[:, : 2 * width].view(replicas, 2, 1, width)
        sample = numbers[:, 2 * width :].view(replicas, 2, samples, width)
        noise = self._half_range * unit + NOISE_SAMPLE * sample
        return 1 + noise[:, 0], noise[:, 1]


def noise_numbers(samples: int, width: int) -> int:
    """How many draws a noisy layer takes at a step: scale and shift, of every unit and of each of its samples."""
    return 2 * width * (1 + samples)
