"""The multilayer perceptron."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from activation_study.core.factors import Factors
from activation_study.networks.base import Architecture, Size

if TYPE_CHECKING:
    import torch

    from activation_study.activations.activation import Activation
    from activation_study.networks.mlp import StackedMLP


def build(
    activation: Activation,
    factors: Factors,
    constants: Mapping[str, Any],
    features: int,
    classes: int,
    seeds: Sequence[int],
    *,
    dtype: torch.dtype,
    device: torch.device | str,
) -> StackedMLP:
    """The networks that train with a backward pass written out."""
    from activation_study.networks.mlp import StackedMLP

    return StackedMLP(activation, factors, constants, features, classes, seeds, dtype=dtype, device=device)


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
        meaning="multilayer perceptron",
        build=build,
        flops=flops,
        size=size,
        theory=True,
    ),
)
