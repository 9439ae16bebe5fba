"""What the way of an input through a family's layers is written in, for stacked networks.

A way is a function of a pass and of inputs. It is followed once on tensors without numbers, which shows what the
networks are made of; then at every forward pass, where each operation gets the parameters that it asked for then.
Samples are [R, B, ..., units]: R replicas, B samples, any positions, and the units or channels last.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from activation_study.core.factors import Factors
from activation_study.networks.base import unshaped
from activation_study.networks.initialisation import Product
from activation_study.networks.normalisation import EPS, GROUPS

Way = Callable[["Pass", Tensor], Tensor]
"""``way(net, inputs)``: from inputs [R, B, features] to logits [R, B, classes]."""


@dataclass(frozen=True)
class Affine:
    """A scale and a shift of each unit, at first 1 and 0."""

    units: int


@dataclass(frozen=True)
class Normal:
    """Numbers of that standard deviation."""

    shape: tuple[int, ...]
    sd: float


Wanted = Product | Affine | Normal


class Pass:
    """One way from inputs to logits.

    Args:
        shape: of a sample, (length, channels) or (height, width, channels); () where it has none.
        take: gives the parameters [R, ...] that an operation asks for, one after the other.
        apply: normalisation and φ of the next activation, of the shape of the pre-activations that it is given.

    Attributes:
        width, depth: the run's factors, units of a layer and how many activations there are one after another.
    """

    def __init__(
        self,
        factors: Factors,
        classes: int,
        shape: tuple[int, ...],
        take: Callable[[Wanted], Sequence[Tensor]],
        apply: Callable[[Tensor], Tensor],
    ):
        self.factors, self.classes, self.shape = factors, classes, shape
        self.width, self.depth = factors.width, factors.depth
        self._take, self._apply = take, apply
        self._activated: tuple[Tensor, bool] | None = None

    def shaped(self, inputs: Tensor) -> Tensor:
        """The inputs as series [R, B, length, channels] or images [R, B, height, width, channels].

        Raises:
            StudyError: the data are neither.
        """
        if not self.shape:
            raise unshaped(self.factors, 1)
        return inputs.view(*inputs.shape[:-1], *self.shape)

    def linear(self, x: Tensor, units: int, scale: float = 1.0) -> Tensor:
        """A linear layer on the last axis; ``scale`` is that of its initial weights."""
        after, centred = self._input(x)
        weight, bias = self._take(Product(x.shape[-1], units, after, False, centred, scale))
        return torch.baddbmm(bias, x.flatten(1, -2), weight).view(*x.shape[:-1], units)

    def convolve(self, x: Tensor, units: int, *, stride: int = 1, size: int = 3, scale: float = 1.0) -> Tensor:
        """A convolution over the positions, one or two axes, with as many zeros around that stride 1 keeps their
        number."""
        fan_in = size ** (x.dim() - 3) * x.shape[-1]
        weight, bias = self._take(Product(fan_in, units, self._input(x)[0], False, False, scale))
        return convolution(x, weight, bias, size, stride)

    def layer_norm(self, x: Tensor) -> Tensor:
        """Each sample's units at each position with mean 0 and variance 1, then scaled and shifted."""
        return self._affine(F.layer_norm(x, x.shape[-1:], eps=EPS))

    def group_norm(self, x: Tensor) -> Tensor:
        """The same of groups of units, over their positions too (Wu and He 2018)."""
        rows = x.flatten(0, 1).movedim(-1, 1)
        normed = F.group_norm(rows, math.gcd(x.shape[-1], GROUPS), eps=EPS)
        return self._affine(normed.movedim(1, -1).view(x.shape))

    def numbers(self, *shape: int, sd: float) -> Tensor:
        """Parameters [R, *shape] of one's own, which begin as normal draws of that standard deviation."""
        return self._take(Normal(shape, sd))[0]

    def activate(self, h: Tensor) -> Tensor:
        """The next activation, after the normalisation that the factor names; the layer is that of the last weight."""
        x = self._apply(self.group_norm(h) if self.factors.normalisation == "group" else h)
        self._activated = x, True
        return x

    def gate(self, x: Tensor, by: Tensor) -> Tensor:
        """What an activation gave, times ``by``."""
        x = x * by
        self._activated = x, False
        return x

    def pool(self, x: Tensor) -> Tensor:
        """The mean over all positions [R, B, units]."""
        pooled = x.flatten(2, -2).mean(2)
        if self._activated is not None and x is self._activated[0]:
            self._activated = pooled, self._activated[1]
        return pooled

    def _input(self, x: Tensor) -> tuple[bool, bool]:
        """Whether it is what an activation gave; and so that a bias can give back what was taken from it."""
        if self._activated is None or x is not self._activated[0]:
            return False, False
        return True, self._activated[1]

    def _affine(self, x: Tensor) -> Tensor:
        scale, shift = (t.view(len(t), *[1] * (x.dim() - 2), -1) for t in self._take(Affine(x.shape[-1])))
        return torch.addcmul(shift, x, scale)


def convolution(x: Tensor, weight: Tensor, bias: Tensor, size: int, stride: int) -> Tensor:
    """A convolution of each replica: x [R, B, length, C] or [R, B, height, width, C], channels last in memory too.

    Args:
        weight: [R, size · C or size² · C, units], the places of the window before the channels; bias: [R, 1, units].
    """
    high = 1 if x.dim() == 4 else size  # a series is an image of height 1
    images = (x.unsqueeze(2) if x.dim() == 4 else x).movedim(-1, 2)
    kernels = weight.view(len(x), high, size, x.shape[-1], -1).permute(0, 4, 3, 1, 2)
    given: dict[str, Any] = {"stride": (min(high, stride), stride), "padding": (high // 2, size // 2)}
    found = (grouped if x.is_cuda else one_by_one)(images, kernels, bias.squeeze(1), **given)
    return found.squeeze(2) if x.dim() == 4 else found


def one_by_one(images: Tensor, kernels: Tensor, biases: Tensor, **given: Any) -> Tensor:
    """[R, B, height, width, units] of images [R, B, C, height, width]: on a processor twice as fast as in groups."""
    found = [F.conv2d(*each, **given) for each in zip(images, kernels, biases, strict=True)]
    return torch.stack([each.movedim(1, -1) for each in found])


def grouped(images: Tensor, kernels: Tensor, biases: Tensor, **given: Any) -> Tensor:
    """The same as one convolution, in which each replica is a group of channels."""
    joined = images.transpose(0, 1).flatten(1, 2)
    found = F.conv2d(joined, kernels.flatten(0, 1), biases.flatten(), groups=len(images), **given)
    return torch.stack(found.chunk(len(images), 1)).movedim(2, -1)
