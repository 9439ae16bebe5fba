"""Initial weights: one standard draw per seed, scaled by what the activation asks for, or by the data."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor

from activation_study.core.errors import StudyError
from activation_study.core.factors import Factors
from activation_study.core.seeds import generator
from activation_study.core.text import shown
from activation_study.networks.base import Network

DEAD = 1e-6
"""Standard deviation of pre-activations up to which they are equal but for rounding."""


def scales(initialisation: str, constants: Mapping[str, Any], depth: int) -> list[tuple[float, float]]:
    """(σ_w, σ_b) of every layer, output last, where weights have variance σ_w²/fan-in.

    Layer 1 has σ_w = 1, so that inputs of mean square 1 give pre-activations of variance q = 1. ``gain`` keeps q = 1
    after that (σ_w = 1/√E φ², He et al. 2015 generalised); ``edge_of_chaos`` has χ(1) = 1 as well (Poole et al. 2016).
    An activation without an edge of chaos gets its gain instead, and ``lsuv`` begins as ``gain``: see `unit_variance`.
    """
    if initialisation not in ("gain", "lsuv", "edge_of_chaos"):
        raise StudyError(f"initialisation: {shown(initialisation)} has no scales; must be gain, lsuv or edge_of_chaos")
    hidden = (float(constants["gain"]), 0.0)
    if initialisation == "edge_of_chaos" and constants["sigma_w2"] is not None:
        hidden = (math.sqrt(constants["sigma_w2"]), math.sqrt(constants["sigma_b2"]))
    return [(1.0, 0.0), *[hidden] * (depth - 1), (hidden[0], 0.0)]


class Product(NamedTuple):
    """Weights [fan-in, units] and biases [units] before they are drawn.

    Attributes:
        after: whether their input is what an activation gives, of mean square E φ²; else it has mean square 1.
        hidden: whether an activation follows.
        centred: whether the mean that ``centred`` takes from their input comes back through the bias.
        scale: of the weights, beside what the initialisation says; a branch beside many others has less than 1.
    """

    fan_in: int
    units: int
    after: bool
    hidden: bool
    centred: bool
    scale: float = 1.0


def initial_parameters(
    seed: int, dims: list[int], factors: Factors, constants: Mapping[str, Any]
) -> list[tuple[Tensor, Tensor]]:
    """``initial_products`` of the layers of a multilayer perceptron, of these numbers of units, inputs first."""
    last = len(dims) - 2
    products = [
        Product(fan_in, units, after=layer > 0, hidden=layer < last, centred=layer > 0)
        for layer, (fan_in, units) in enumerate(pairwise(dims))
    ]
    return initial_products(seed, products, factors, constants)


def initial_products(
    seed: int, products: Sequence[Product], factors: Factors, constants: Mapping[str, Any]
) -> list[tuple[Tensor, Tensor]]:
    """Weights [fan-in, units] and biases [units] in float64, one after the other, of one replica.

    The same ``seed`` gives the same standard draws whatever the activation, so runs are paired.
    """
    weight_draws, bias_draws = generator(seed, "weights"), generator(seed, "biases")
    layers = []
    for fan_in, fan_out, after, hidden, centred, scale in products:
        if factors.initialisation == "torch_default":  # nn.Linear: U(±1/√fan-in) for both
            bound = 1 / math.sqrt(fan_in)
            weight = (torch.rand(fan_in, fan_out, generator=weight_draws, dtype=torch.float64) * 2 - 1) * bound
            bias = (torch.rand(fan_out, generator=bias_draws, dtype=torch.float64) * 2 - 1) * bound
        else:
            of_input, of_hidden, of_output = scales(factors.initialisation, constants, 2)
            sigma_w, sigma_b = of_input if not after else of_hidden if hidden else of_output
            weight = torch.randn(fan_in, fan_out, generator=weight_draws, dtype=torch.float64)
            weight *= scale * sigma_w / math.sqrt(fan_in)
            bias = torch.randn(fan_out, generator=bias_draws, dtype=torch.float64) * sigma_b
        if hidden:
            bias += factors.initial_bias
        if factors.centred and centred:
            # The layer below gives φ − c; the bias takes c·W·1 back, so the initial function is φ's own.
            bias += float(constants["mean"]) * weight.sum(0)
        layers.append((weight, bias))
    return layers


def unit_variance(network: Network, inputs: Sequence[Tensor]) -> None:
    """Scale a network at initialisation layer by layer, output last: layer-sequential unit variance, ``lsuv``.

    Each replica's weights are divided by the standard deviation of its own pre-activations over units and samples
    together, as the paper takes it of a layer's output before the activation; by unit it would be batch normalisation.
    Unlike the paper's, the weights begin as normal draws, those of ``gain``, so that runs are paired; and one division
    is enough, as pre-activations are linear in the weights. A layer that is dead on all samples is left alone, as is
    one without weights of its own.

    Args:
        inputs: R tensors [B, features], the first training batch of each replica; it is seen in evaluation mode.

    Source: Mishkin and Matas 2016, All you need is a good init, arXiv:1511.06422.
    """
    for layer in range(network.depth + 1):
        if layer and network.layers[layer].weight == network.layers[layer - 1].weight:
            continue
        spread = _spreads(network, inputs)[layer]
        network.divide(layer + 1, torch.where(spread.isfinite() & (spread > DEAD), spread, 1.0))


def _spreads(network: Network, inputs: Sequence[Tensor]) -> list[Tensor]:
    """The standard deviation of each layer's pre-activations [R], over units and samples together."""
    found: list[Tensor] = []

    def visit(_: int, h: Tensor, x: Tensor | None = None) -> None:
        found.append(h.flatten(2).std((1, 2), correction=0))

    visit(network.depth + 1, network.logits(inputs, visit))
    return found
