"""Mean-field theory of an activation's module, layer by layer: what the laws of a study's tables are held against.

Source: Schoenholz et al. (2017), arXiv:1611.01232. Symbols as in `activation_study.activations.theory`.
"""

import math

import numpy as np

from activation_study.activations import theory


def second_moment_gain(phi: theory.Response) -> float:
    """g₂ = 1/√E φ(z)²: with weights of variance g₂²/fan-in and no bias, q = 1 stays 1."""
    return theory.gaussian_mean(phi.square) ** -0.5


def q_map(phi: theory.Response, q: float, sigma_w2: float, sigma_b2: float = 0.0) -> float:
    """q of the next layer: σ_w² E φ(√q z)² + σ_b²."""
    return sigma_w2 * theory.gaussian_mean(phi.square, math.sqrt(q)) + sigma_b2


def variances(phi: theory.Response, depth: int, sigma_w2: float, sigma_b2: float = 0.0, q1: float = 1.0) -> np.ndarray:
    """q of layers 1..depth, from q of the first."""
    q = [q1]
    while len(q) < depth:
        q.append(q_map(phi, q[-1], sigma_w2, sigma_b2))
    return np.array(q)


def gradient_decay(
    phi: theory.Response, depth: int, sigma_w2: float, sigma_b2: float = 0.0, q1: float = 1.0
) -> np.ndarray:
    """log10 ‖δ^ℓ‖/‖δ^L‖ for ℓ = 1..L: half the log10 of Π_{k=ℓ}^{L-1} χ(q^k)."""
    steps = [theory.chi(phi, sigma_w2, q) for q in variances(phi, depth, sigma_w2, sigma_b2, q1)[:-1]]
    with np.errstate(divide="ignore"):
        logs = 0.5 * np.log10(np.array([*steps, 1.0]))
    return np.cumsum(logs[::-1])[::-1]
