"""How two inputs come together on their way through a network of leaky ReLUs, and the slope that is tailored to it.

Infinitely wide networks at initialisation, without biases, weights at the gain of φ, so that the length of an input is
kept and the cosine c of two inputs is all that changes. a is the negative slope.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import optimize


def after(layers: int, cosine: float, slope: float) -> float:
    """The cosine of two inputs after some layers, each of which maps c to C(c).

    C(c) = c + (1 − a)²/(π (1 + a²)) (√(1 − c²) − c arccos c).

    Args:
        cosine: in [−1, 1].

    Source: Cho & Saul (2009), for ReLU; Zhang, Botev & Martens (2022), arXiv:2203.08120, for leaky ones.
    """
    bend = (1 - slope) ** 2 / (math.pi * (1 + slope**2))
    for _ in range(layers):
        apart = math.sqrt(max(0.0, 1 - cosine**2)) - cosine * math.acos(float(np.clip(cosine, -1, 1)))
        cosine += bend * apart
    return cosine


def tailored_slope(layers: int, target: float = 0.9) -> float:
    """The slope at which perpendicular inputs have the cosine `target` after some layers; 0 where ReLU has less.

    Args:
        target: in (0, 1); 0.9 is the article's.

    Source: "tailored activation transformation", Zhang, Botev & Martens (2022), arXiv:2203.08120.
    """
    if after(layers, 0.0, 0.0) <= target:
        return 0.0
    return float(optimize.brentq(lambda slope: after(layers, 0.0, slope) - target, 0.0, 1.0, xtol=1e-12))
