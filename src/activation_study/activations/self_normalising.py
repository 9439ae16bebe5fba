"""The constants of self-normalising networks: SELU(x) = λx for x > 0, λα(eˣ − 1) below."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy import special


def selu_constants(variance: float = 1.0) -> tuple[float, float]:
    """α and λ with which mean 0 and this variance are a fixed point: h ~ N(0, ν) gives E SELU(h) = 0, E SELU(h)² = ν.

    Weights have mean 0 and variance 1/fan-in. In closed form, by E[eᵏʰ; h < 0] = exp(k²ν/2) Φ(−k√ν). PyTorch's SELU
    has those of variance 1, (1.67326, 1.05070); for variance 2 they are (1.97126, 1.06071).

    Source: Klambauer et al. (2017), arXiv:1706.02515, equation 14.
    """

    def negative(power: int) -> float:
        return math.exp(power**2 * variance / 2) * float(special.ndtr(-power * math.sqrt(variance)))

    alpha = math.sqrt(variance / (2 * math.pi)) / (0.5 - negative(1))
    square = variance / 2 + alpha**2 * (negative(2) - 2 * negative(1) + 0.5)
    return alpha, math.sqrt(variance / square)


def is_selu(x: Any, values: Any) -> bool:
    """Whether values at x, to 1e-5, are SELU's with the fixed point of mean 0 and variance 1, as PyTorch has it."""
    alpha, scale = selu_constants()
    x = np.asarray(x, dtype=float)
    return np.allclose(values, scale * np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0))), rtol=0, atol=1e-5)
