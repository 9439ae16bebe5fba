"""The multilayer perceptron."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from activation_study.core.factors import Factors
from activation_study.networks.base import Architecture, Size

if TYPE_CHECKING:
    from activation_study.networks.mlp import StackedMLP


def build(*arguments: Any, **kinds: Any) -> StackedMLP:
    """The networks that train with a backward pass written out; PyTorch is imported here."""
    from activation_study.networks.mlp import StackedMLP

    return StackedMLP(*arguments, **kinds)


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
