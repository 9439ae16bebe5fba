"""Residual convolutional networks, of series or of images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from activation_study.core.factors import Factors
from activation_study.networks.architectures import convolutional
from activation_study.networks.architectures.convolutional import stride
from activation_study.networks.base import Architecture, Size, through

if TYPE_CHECKING:
    from torch import Tensor

    from activation_study.networks.passes import Pass


def way(net: Pass, x: Tensor) -> Tensor:
    """Blocks of convolution, φ, convolution beside a skip (He et al. 2016); a stage begins with one more, of stride 2.

    Batch or group normalisation, before φ, is the factor's. The weights with which a block ends are those of its
    initialisation over √depth, so that the sum over blocks keeps its variance.
    """
    x = net.shaped(x)
    for number in range(net.depth):
        step = stride(number, net.depth, x)
        if step > 1 or number == 0:
            x = net.convolve(x, net.width, stride=step)
        inside = net.activate(net.convolve(x, net.width))
        x = x + net.convolve(inside, net.width, scale=net.depth**-0.5)
    return net.linear(net.pool(x), net.classes)


def flops(factors: Factors) -> float:
    """Of a training step's sample, as of two plain networks."""
    return 2 * convolutional.flops(factors)


def size(factors: Factors, features: int) -> Size:
    """At most, as that of plain networks; every block has two convolutions, and there are three more."""
    width, plain = factors.width, convolutional.size(factors, features)
    return Size(9 * width * (width * (2 * factors.depth + 2) + 4), 2 * plain.activations, plain.widest)


DECLARED = (
    Architecture(
        "residual_convolutional", "residual convolutional networks", through(way), flops, size, axes=1, linear=False
    ),
)
