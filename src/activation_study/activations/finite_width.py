"""What a finite number of units adds to mean-field theory: how far single networks scatter, and which are born dead.

Networks at initialisation, without biases; φ is a leaky ReLU of negative slope a (0: ReLU, 1: linear), weights are
normal with mean 0 and variance g²/fan-in at its gain, g² = 2/(1 + a²). Depth counts hidden layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import stats


def fluctuation(slope: float) -> float:
    """b = E φ(z)⁴/(E φ(z)²)² − 1 = 6 (1 + a⁴)/(1 + a²)² − 1: 5 for ReLU, 2 for a linear network.

    A layer of n units multiplies ‖φ(h)‖² by a mean of n independent g² φ(z)², whose variance is b/n.
    """
    return 6 * (1 + slope**4) / (1 + slope**2) ** 2 - 1


def log_square_norm(slope: float, widths: Sequence[int]) -> Any:
    """The law of ln ‖x_L‖²/‖x_0‖² over networks: N(−β/2, β) with β = b Σ 1/n over the layers' widths n.

    ‖x‖² is the mean square over a layer's units, of φ at hidden ones. Backwards, with the widths of layers ℓ … L−1, it
    is the law of ln ‖δ^ℓ‖²/‖δ^L‖², of sums of squares. One input: those of a batch share the weights, and scatter
    together, the more so the deeper. It is the limit for wide layers: at 64 units ReLU's variance is 6% more, and
    below about ten units many networks are born dead, which have no logarithm.

    Returns:
        scipy's frozen normal distribution; log10 of a norm is this divided by 2 ln 10.

    Source: Hanin & Nica (2018), arXiv:1812.05994; Hanin (2018), arXiv:1801.03744.
    """
    beta = fluctuation(slope) * sum(1 / width for width in widths)
    return stats.norm(-beta / 2, np.sqrt(beta))


def gradient_quartiles(slope: float, depth: int, width: int) -> Any:
    """Quartiles over networks of log10 ‖δ^ℓ‖/‖δ^L‖ for ℓ = 1 … L, [L, 2], layers of `width` units, one input."""
    laws = [log_square_norm(slope, [width] * below) for below in range(depth - 1, 0, -1)]
    return np.array([*(law.ppf([0.25, 0.75]) / (2 * np.log(10)) for law in laws), [0.0, 0.0]])


def leaky_slope(x: Any, values: Any) -> float | None:
    """The negative slope of a leaky ReLU with these values at x, which are on both sides of 0; None for another φ."""
    x, values = np.asarray(x, dtype=float), np.asarray(values, dtype=float)
    slope = float(values[0] / x[0])
    return slope if np.allclose(values, np.where(x > 0, x, slope * x), rtol=0, atol=1e-9) else None


def born_dead(widths: Sequence[int]) -> float:
    """Probability that a ReLU network gives 0 for one given input: 1 − Π (1 − 2⁻ⁿ) over the layers' widths n.

    The pre-activations of a layer are symmetric about 0 and independent given the layer before.
    """
    return float(-np.expm1(sum(np.log1p(-(0.5**width)) for width in widths)))


def born_dead_on_a_line(width: int, depth: int) -> tuple[float, float]:
    """Lower and upper bound of the probability that a ReLU network of one input is constant, so dead for all of them.

    The inputs are two rays. Their vectors of activations have disjoint supports after the first layer. The upper bound
    holds for one ray. For the lower one, a ray dies as if the other's vector were at a right angle, the most that
    vectors without negative entries can be apart: both at once with 4⁻ⁿ, and both are left with one unit in common,
    so parallel, with n 4⁻ⁿ. At depth 2 the lower bound is exact.

    Source: Lu, Su & Karniadakis (2018), arXiv:1808.04947; Lu, Shin, Su & Karniadakis (2020), arXiv:1903.06733.
    """
    one = 1 - 0.5**width  # that one ray lives on
    both = 1 - 2 * 0.5**width - (width - 1) * 0.25**width  # that both do, not parallel
    share = (1 - 2 * 0.5**width) * one / (1 + (width - 1) * 0.5**width)
    return 1 - one ** (depth - 1) - share * (one ** (depth - 1) - both ** (depth - 1)), 1 - one**depth
