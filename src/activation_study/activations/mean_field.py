"""What mean-field theory predicts for a study's networks, from its tables alone.

`theory` has the same laws for an activation's module. A report has no modules, but every activation's graph, which is
taken here as the straight pieces between its points: exact for ReLU and its like, to about 10⁻³ for smooth ones.
Symbols: h = pre-activation, φ = activation, δ = ∂L/∂h, q = E h² of a layer; layer 1 is nearest the input; weights have
variance σ_w²/fan-in, biases σ_b². Source: Schoenholz et al. (2017), arXiv:1611.01232.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy import special

Law = Callable[[float], tuple[float, float]]
"""q → (E φ(h)², E φ′(h)²) for h ~ N(0, q)."""


def law(portrait: pd.DataFrame, constants: Mapping[str, Any]) -> Law | None:
    """An activation's law.

    Args:
        portrait: its rows of the table `portraits`, by ascending x.
        constants: its row of the table `activations`.

    Returns:
        None for an activation that is random in training and not homogeneous: its graph is that of its mean.
    """
    x, y = portrait["x"].to_numpy(), portrait["value"].to_numpy()
    if constants["stochastic"]:
        if not np.allclose(y, np.abs(x) * np.where(x > 0, y[-1] / x[-1], y[0] / -x[0])):
            return None
        second = constants["gain"] ** -2.0  # E φ(z)²; homogeneous: both moments follow from those at q = 1
        return lambda q: (q * second, constants["chi"] * second)
    slope = np.diff(y) / np.diff(x)
    offset = y[:-1] - slope * x[:-1]

    def moments(q: float) -> tuple[float, float]:
        edges = np.concatenate([[-np.inf], x[1:-1] / math.sqrt(q), [np.inf]])  # the outer pieces go on for ever
        density = np.exp(-(edges**2) / 2) / math.sqrt(2 * math.pi)
        weighted = np.where(np.isfinite(edges), edges, 0) * density
        share = np.diff(special.ndtr(edges))
        first, second = -np.diff(density), share - np.diff(weighted)
        square = offset**2 * share + 2 * offset * slope * math.sqrt(q) * first + slope**2 * q * second
        return float(square.sum()), float((slope**2 * share).sum())

    return moments


def start(initialisation: str, constants: Mapping[str, Any], features: int, width: int) -> tuple[float, float, float]:
    """(σ_w², σ_b², q of layer 1) of networks whose inputs have mean square 1, under one of the study's initialisations.

    Layer 1 has σ_w = 1 and no bias, but PyTorch's default draws weights and biases of all layers from ±1/√fan-in. In
    networks of infinite width the data scale nothing: lsuv is gain.
    """
    if initialisation == "torch_default":
        return 1 / 3, 1 / (3 * width), 1 / 3 + 1 / (3 * features)
    if initialisation == "edge_of_chaos" and not pd.isna(constants["sigma_w2"]):
        return constants["sigma_w2"], constants["sigma_b2"], 1.0
    return constants["gain"] ** 2, 0.0, 1.0


def gradient_decay(phi: Law, depth: int, sigma_w2: float, sigma_b2: float, q1: float) -> np.ndarray:
    """log10 ‖δ^ℓ‖/‖δ^L‖ for ℓ = 1..L = `depth`: half the log10 of Π_{k=ℓ}^{L-1} χ(q^k), with χ = σ_w² E φ′²."""
    q, logs = q1, [0.0]
    for _ in range(depth - 1):
        square, slope_square = phi(q)
        logs.append(0.5 * math.log10(sigma_w2 * slope_square))
        q = sigma_w2 * square + sigma_b2
    return logs[0] + np.cumsum([0.0, *logs[:0:-1]])[::-1]
