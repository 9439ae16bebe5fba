"""What wide networks make of several inputs before training: how alike these become, which units none of them moves.

Infinite width and straight pieces between an activation's points, as in `mean_field`, whose symbols are used here.
The page computes the same in `report/play.js`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from activation_study.activations import finite_width, mean_field

ORDER = 400
"""Terms of Mehler's series; what is left of it counts as one more term."""
FLAT = 1e-5
"""|slope| of a piece up to which no gradient passes it: what is flatter is rounding."""
STRAIGHT = 1e-9
"""Change of the slope times the distance of points up to which one piece goes on."""
INPUTS = 100
"""Inputs of which none passes a dead unit."""
Z = (np.arange(-450, 450) + 0.5) / 50
"""Nodes between which ReLU's bend lies: there the share changes at once where inputs are the same."""

Points = tuple[np.ndarray, np.ndarray]


def graph(portrait: pd.DataFrame, constants: Mapping[str, Any]) -> Points:
    """Ends and bends (x, y) of E φ over its own noise; its negative slope, where that is random, by E φ(z)."""
    x, y = portrait["x"].to_numpy(), portrait["value"].to_numpy()
    if constants["stochastic"]:
        up = y[-1] / x[-1]
        return np.array([-1.0, 0.0, 1.0]), np.array([constants["mean"] * math.sqrt(2 * math.pi) - up, 0.0, up])
    bent = np.abs(np.diff(np.diff(y) / np.diff(x))) * np.diff(x)[1:] > STRAIGHT
    kept = np.array([True, *bent, True])
    if kept.sum() == 2:  # a line: a piece needs two ends and a point between them
        kept[len(kept) // 2] = True
    return x[kept], y[kept]


def product(points: Points, q: float) -> Callable[[float], float]:
    """c → E φ(u) φ(v) for normal u and v of variance q and correlation c in [0, 1].

    By Mehler's formula Σ a_k² cᵏ, where a_k = E φ(√q z) He_k(z)/√k! has a closed form for straight pieces: φ″ is
    nothing but its bends. To 1e-5 with bends as sharp as ReLU's.
    """
    x, y = points
    slope = np.diff(y) / np.diff(x)
    at, bend, root = x[1:-1] / math.sqrt(q), np.diff(slope), math.sqrt(q)
    density, beyond = np.exp(-(at**2) / 2) / math.sqrt(2 * math.pi), special.ndtr(-at)
    coefficients = [
        y[0] - slope[0] * x[0] + root * (bend * (density - at * beyond)).sum(),
        root * (slope[0] + (bend * beyond).sum()),
    ]
    before, now = np.zeros_like(at), density
    for k in range(2, ORDER + 1):
        coefficients.append(root * (bend * now).sum() / math.sqrt(k * (k - 1)))
        before, now = now, (at * now - math.sqrt(k - 2) * before) / math.sqrt(k - 1)
    squares = np.square(coefficients)
    law = mean_field.law(pd.DataFrame({"x": x, "value": y}), {"stochastic": False})
    assert law is not None
    rest = law(q)[0] - squares.sum()
    return lambda c: float(np.polynomial.polynomial.polyval(c, [*squares, rest]))


def flat(points: Points, q: float, shift: Any = 0.0, scale: float = 1.0) -> Any:
    """P(φ′(√q (shift + scale · z)) = 0), for each value of `shift`."""
    x, y = points
    edges = np.concatenate([[-np.inf], x[1:-1] / math.sqrt(q), [np.inf]])
    pieces = np.flatnonzero(np.abs(np.diff(y) / np.diff(x)) <= FLAT)
    below = special.ndtr((edges[:, None] - np.atleast_1d(shift)) / scale)
    return (below[pieces + 1] - below[pieces]).sum(0)


def dead(points: Points, q: float, c: float, inputs: int = INPUTS) -> float:
    """Share of a layer's units with slope 0 at every one of so many inputs, any two of which have the correlation c."""
    density = np.exp(-(Z**2) / 2) / math.sqrt(2 * math.pi)
    apart = math.sqrt(max(1 - c, 1e-18))
    return float(density @ flat(points, q, math.sqrt(max(c, 0.0)) * Z, apart) ** inputs / 50)


def beginnings(
    portrait: pd.DataFrame,
    constants: Mapping[str, Any],
    depth: int,
    width: int,
    initialisation: str,
    correlation: float = 0.0,
) -> pd.DataFrame | None:
    """One row per hidden layer of multilayer perceptrons that begin so, whose inputs have as many values as a layer.

    Columns: layer, gradient (log10 ‖δ^ℓ‖/‖δ^L‖), low and high (its quartiles over single networks; known of leaky ReLUs
    at their gain, else missing), correlation (of any two inputs' pre-activations), dead (share of
    units, see `dead`), silent (probability that all units of the layer, which has `width`, are dead at one input).

    Args:
        portrait, constants: as `mean_field.law` has them.
        correlation: that the inputs begin with, in [0, 1].

    Returns:
        None where mean-field theory has no law.
    """
    law = mean_field.law(portrait, constants)
    if law is None:
        return None
    sigma_w2, sigma_b2, q = mean_field.start(initialisation, constants, width, width)
    gradient = mean_field.gradient_decay(law, depth, sigma_w2, sigma_b2, q)
    slope = finite_width.leaky_slope(portrait["x"], portrait["value"])
    if slope is None or constants["stochastic"] or initialisation == "torch_default":
        single = np.full((depth, 2), np.nan)
    else:
        single = finite_width.gradient_quartiles(slope, depth, width)
    points = graph(portrait, constants)
    c = 1 - (1 - correlation) * (sigma_w2 if initialisation == "torch_default" else 1.0) / q
    rows = []
    for layer in range(1, depth + 1):
        silent = float(flat(points, q)[0]) ** width
        rows.append((layer, gradient[layer - 1], *single[layer - 1], c, dead(points, q, c), silent))
        together, q = sigma_w2 * product(points, q)(c) + sigma_b2, sigma_w2 * law(q)[0] + sigma_b2
        c = min(together / q, 1.0)
    return pd.DataFrame(rows, columns=["layer", "gradient", "low", "high", "correlation", "dead", "silent"])
