"""The multilayer perceptron."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from activation_study.core.factors import Factors
from activation_study.networks.base import Architecture, Network, Size, through

if TYPE_CHECKING:
    from torch import Tensor

    from activation_study.activations.activation import Activation
    from activation_study.networks.passes import Pass


def way(net: Pass, x: Tensor) -> Tensor:
    """Layer after layer."""
    for _ in range(net.depth):
        x = net.activate(net.linear(x, net.width))
    return net.linear(x, net.classes)


def build(
    activation: Activation, factors: Factors, *arguments: Any, shape: tuple[int, ...] = (), **kinds: Any
) -> Network:
    """Those that train with a backward pass written out, where it knows the normalisation; PyTorch is imported here."""
    from activation_study.networks.mlp import StackedMLP
    from activation_study.networks.normalisation import KINDS

    if factors.normalisation in KINDS:
        return StackedMLP(activation, factors, *arguments, **kinds)
    return through(way)(activation, factors, *arguments, shape=shape, **kinds)


def flops(factors: Factors) -> float:
    """Of a training step's sample: of a typical input of 256 features, with an overhead per layer."""
    return 6 * factors.width * (factors.width * factors.depth + 256) + 4_000 * factors.depth


def size(factors: Factors, features: int) -> Size:
    """Its weights, and its units."""
    width, depth = factors.width, factors.depth
    return Size(width * (width * depth + features), depth * width, width)


DECLARED = (
    Architecture(
        name="mlp",
        meaning="multilayer perceptrons",
        build=build,
        flops=flops,
        size=size,
        theory=True,
    ),
)
