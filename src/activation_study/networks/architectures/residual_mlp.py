"""Residual multilayer perceptrons: what a block gives is added to what it was given."""

from __future__ import annotations

from typing import TYPE_CHECKING

from activation_study.core.factors import Factors
from activation_study.networks.base import Architecture, Size, through

if TYPE_CHECKING:
    from torch import Tensor

    from activation_study.networks.passes import Pass


def way(net: Pass, x: Tensor) -> Tensor:
    """Blocks of layer norm, linear, φ, linear (Xiong et al. 2020, pre-norm), on a linear layer.

    The weights with which a block ends are those of its initialisation over √depth, so that the sum over blocks keeps
    its variance (Hanin & Rolnick 2018).
    """
    x = net.linear(x, net.width)
    for _ in range(net.depth):
        inside = net.activate(net.linear(net.layer_norm(x), net.width))
        x = x + net.linear(inside, net.width, scale=net.depth**-0.5)
    return net.linear(net.layer_norm(x), net.classes)


def flops(factors: Factors) -> float:
    """Of a training step's sample: of a typical input of 256 features, with an overhead per block."""
    return 6 * factors.width * (2 * factors.width * factors.depth + 256) + 30_000 * factors.depth


def size(factors: Factors, features: int) -> Size:
    """Its weights, and its units: six tensors of a block are kept for the way back."""
    width, depth = factors.width, factors.depth
    return Size(width * (2 * (width + 2) * depth + features), 2 * depth * width, width)


DECLARED = (Architecture("residual_mlp", "residual multilayer perceptrons", through(way), flops, size),)
