"""Initial weights: one standard draw per seed, scaled by what the activation asks for, or by the data."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

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


def initial_parameters(
    seed: int, dims: list[int], factors: Factors, constants: Mapping[str, Any]
) -> list[tuple[Tensor, Tensor]]:
    """Weights [fan-in, fan-out] and biases [fan-out] in float64, layer by layer, of one replica.

    The same ``seed`` gives the same standard draws whatever the activation, so runs are paired.
    """
    depth = len(dims) - 2
    weight_draws, bias_draws = generator(seed, "weights"), generator(seed, "biases")
    layers = []
    for layer, (fan_in, fan_out) in enumerate(pairwise(dims)):
        if factors.initialisation == "torch_default":  # nn.Linear: U(±1/√fan-in) for both
            bound = 1 / math.sqrt(fan_in)
            weight = (torch.rand(fan_in, fan_out, generator=weight_draws, dtype=torch.float64) * 2 - 1) * bound
            bias = (torch.rand(fan_out, generator=bias_draws, dtype=torch.float64) * 2 - 1) * bound
        else:
            sigma_w, sigma_b = scales(factors.initialisation, constants, depth)[layer]
            weight = torch.randn(fan_in, fan_out, generator=weight_draws, dtype=torch.float64)
            weight *= sigma_w / math.sqrt(fan_in)
            bias = torch.randn(fan_out, generator=bias_draws, dtype=torch.float64) * sigma_b
        if layer < depth:
            bias += factors.initial_bias
        if factors.centred and layer > 0:
            # The layer below gives φ − c; the bias takes c·W·1 back, so the initial function is φ's own.
            bias += float(constants["mean"]) * weight.sum(0)
        layers.append((weight, bias))
    return layers


def unit_variance(network: Network, inputs: Sequence[Tensor]) -> None:
    """Scale a network at initialisation layer by layer, output last: layer-sequential unit variance, ``lsuv``.

    Each replica's weights are divided by the standard deviation of its own pre-activations over units and samples
    together, as the paper takes it of a layer's output before the activation; by unit it would be batch normalisation.
    Unlike the paper's, the weights begin as normal draws, those of ``gain``, so that runs are paired; and one division
    is enough, as pre-activations are linear in the weights. A layer that is dead on all samples is left alone.

    Args:
        inputs: R tensors [B, features], the first training batch of each replica; it is seen in evaluation mode.

    Source: Mishkin and Matas 2016, All you need is a good init, arXiv:1511.06422.
    """
    for layer in range(network.depth + 1):
        spread = _spreads(network, inputs)[layer]
        network.divide(layer + 1, torch.where(spread.isfinite() & (spread > DEAD), spread, 1.0))


def _spreads(network: Network, inputs: Sequence[Tensor]) -> list[Tensor]:
    """The standard deviation of each layer's pre-activations [R], over units and samples together."""
    found: list[Tensor] = []

    def visit(_: int, h: Tensor, x: Tensor | None = None) -> None:
        found.append(h.std((1, 2), correction=0))

    visit(network.depth + 1, network.logits(inputs, visit))
    return found
