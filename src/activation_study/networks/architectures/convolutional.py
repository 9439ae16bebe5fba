"""Plain convolutional networks, of series or of images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from activation_study.core.factors import Factors
from activation_study.networks.base import Architecture, Size, through

if TYPE_CHECKING:
    from torch import Tensor

    from activation_study.networks.passes import Pass

STAGES = 3
SMALLEST = 4
"""A map whose longest side is shorter is not halved any more."""
POSITIONS = 200
"""Of a typical input: a series has tens, an image hundreds."""


def stride(number: int, depth: int, x: Tensor) -> int:
    """2 where one of the stages begins, of which each has as many of the ``depth`` layers, from 0; else 1."""
    begins = number in {-(-depth * stage // STAGES) for stage in range(STAGES)}
    return 2 if begins and max(x.shape[2:-1]) >= SMALLEST else 1


def way(net: Pass, x: Tensor) -> Tensor:
    """Convolutions 3 wide with φ, in stages that begin with a stride of 2, and the mean over the last map."""
    x = net.shaped(x)
    for number in range(net.depth):
        x = net.activate(net.convolve(x, net.width, stride=stride(number, net.depth, x)))
    return net.linear(net.pool(x), net.classes)


def flops(factors: Factors) -> float:
    """Of a training step's sample: of a typical input, whose maps have that part of its positions on average."""
    return 6 * 9 * factors.width**2 * factors.depth * POSITIONS / 8 + 1e5 * factors.depth


def size(factors: Factors, features: int) -> Size:
    """At most: as of windows 3 × 3, and of maps that lose only half of their positions from stage to stage."""
    width, depth = factors.width, factors.depth
    whole = sum(features / 2 ** (1 + STAGES * number // depth) for number in range(depth))
    return Size(9 * width * (width * (depth - 1) + 4), round(whole * width), round(features * width / 2))


DECLARED = (Architecture("convolutional", "convolutional networks", through(way), flops, size, axes=1, linear=False),)
