"""What a layer metric sees: the activations or the gradients of one layer of R replicas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from activation_study.quantities.base import POSITIONS, SATURATED

QUANTILES = (0.05, 0.5, 0.95)
RESOLVED = 1e-3
"""Of a layer's root mean square: samples that differ by less are too close for float32."""


def quantiles_of(values: Tensor, at: Sequence[float]) -> Tensor:
    """Of values [R, N] at those fractions, linear between neighbours [len(at), R]."""
    # NumPy sorts with the processor's vector instructions, five times as fast.
    ordered = torch.from_numpy(np.sort(values.numpy())) if values.is_cpu else values.sort().values
    last = ordered.shape[1] - 1
    low = [int(part * last) for part in at]
    found = [ordered[:, i].lerp(ordered[:, min(i + 1, last)], part * last - i) for i, part in zip(low, at, strict=True)]
    return torch.stack(found).masked_fill_(ordered[:, -1].isnan(), torch.nan)  # which are sorted last


def rows_of(x: Tensor) -> Tensor:
    """Samples [R, N, W], or [R, N, positions, W], as rows [R, N · at most ``POSITIONS``, W]."""
    if x.dim() == 3:
        return x
    places = torch.linspace(0, x.shape[2] - 1, min(POSITIONS, x.shape[2])).round().long()
    return x[:, :, places.to(x.device)].flatten(1, 2)


@dataclass
class LayerView:
    """One hidden layer of R replicas on a fixed set of N samples; a unit's positions count as samples of it.

    Attributes:
        h: pre-activations [R, N, W]. x: activations φ(h). slope: φ′(h). slope_max: the largest |φ′| there is.
        born_dead, dead_before: the dead units [R, W] at step 0 and at the probe before; None at step 0.
    """

    h: Tensor
    x: Tensor
    slope: Tensor
    slope_max: float
    born_dead: Tensor | None = None
    dead_before: Tensor | None = None

    @cached_property
    def steepness(self) -> Tensor:
        """|φ′(h)| [R, N, W]."""
        return self.slope.abs()

    @cached_property
    def steepest(self) -> Tensor:
        """max over samples of |φ′(h)| per unit [R, W]."""
        return self.steepness.amax(1)  # vector_norm gives the same, five times as slowly

    @cached_property
    def dead_units(self) -> Tensor:
        """Units whose slope is exactly zero on every sample [R, W]: none of their weights can get a gradient."""
        return self.steepest == 0

    @cached_property
    def unit_size(self) -> Tensor:
        """Mean |x| per unit [R, W]."""
        return self.x.abs().mean(1)

    @cached_property
    def quantiles(self) -> Tensor:
        """``QUANTILES`` of the pre-activations [3, R], of 32 samples: sorting more would cost as much as training."""
        return quantiles_of(self.h[:, :32].flatten(1), QUANTILES)

    @cached_property
    def preactivation_mean(self) -> Tensor:
        """Over samples and units [R]."""
        return self.h.flatten(1).mean(1)

    @cached_property
    def unit_mean(self) -> Tensor:
        return self.x.mean(1)

    @cached_property
    def median_offset(self) -> Tensor:
        """Median over units of |mean x| [R]."""
        return quantiles_of(self.unit_mean.abs(), [0.5])[0]

    @cached_property
    def covariance(self) -> Tensor:
        """Of the activations over samples [R, W, W], in float64: small eigenvalues are lost in a float32 product."""
        x = self.x.double()
        centred = x - x[:, :1]  # so that a constant unit's variance is exactly zero
        centred -= centred.mean(1, keepdim=True)
        return torch.bmm(centred.transpose(1, 2), centred).div_(centred.shape[1])

    @cached_property
    def variance(self) -> Tensor:
        """Per unit [R, W]."""
        return self.covariance.diagonal(dim1=1, dim2=2)

    @cached_property
    def blurred(self) -> Tensor:
        """Whether samples differ by less than float32 resolves [R]."""
        return self.variance.mean(1) < RESOLVED**2 * self.x.flatten(1).square().mean(1)

    @cached_property
    def sd(self) -> Tensor:
        """Over all samples and units [R]."""
        between = self.unit_mean - self.unit_mean[:, :1]  # exactly zero in a constant layer
        between -= between.mean(1, keepdim=True)
        return (self.variance.mean(1) + between.square().mean(1)).sqrt()

    @cached_property
    def flat(self) -> Tensor:
        """Saturated elements, 1 or 0: slope below a tenth of the largest."""
        # As numbers: sums over truth values are slow.
        return torch.lt(self.steepness, SATURATED * self.slope_max, out=torch.empty_like(self.slope))

    @cached_property
    def flat_share(self) -> Tensor:
        return self.flat.flatten(1).mean(1)

    @cached_property
    def flat_low_share(self) -> Tensor:
        negative = torch.lt(self.h, 0, out=torch.empty_like(self.h))
        return negative.mul_(self.flat).flatten(1).mean(1)


@dataclass
class GradientView:
    """One layer's gradients.

    ``delta_norm`` [R] is √(mean over samples of ‖δ‖²), δ the gradient of a sample's own loss by its h; NaN for the
    output layer. ``weight`` and ``weight_gradient`` are [R, fan-in, fan-out], the gradient that of the mean loss.
    """

    delta_norm: Tensor
    weight: Tensor
    weight_gradient: Tensor
