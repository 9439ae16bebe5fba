"""What mean-field theory and exact laws predict, from an activation's values alone.

Symbols: h = pre-activation, φ = activation, δ = ∂L/∂h, z ~ N(0, 1); weights have variance σ_w²/fan-in, biases
σ_b²; q = E h² of a layer; layer 1 is nearest the input. Sources: Poole et al. (2016), arXiv:1606.05340;
Schoenholz et al. (2017), arXiv:1611.01232.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import optimize, special, stats

from activation_study.activations.activation import Activation, slope_distribution
from activation_study.core.errors import StudyError

Function = Callable[[np.ndarray], np.ndarray]

TAIL = 12.0  # a standard normal variable lies beyond with probability 4e-33
# Gauss-Lobatto quadrature on [-1, 1]: both ends are nodes, so that a jump anywhere between them shows.
_LEGENDRE = np.polynomial.legendre.Legendre.basis(10)
NODES = np.array([-1.0, *special.roots_jacobi(9, 1, 1)[0], 1.0])  # within, the roots of that one's derivative
WEIGHTS = 2 / (110 * _LEGENDRE(NODES) ** 2)
MAX_PANELS = 2**14  # at once: a function that needs more has no mean, or oscillates beyond all use
UNSETTLED = 1e-3  # the part of a mean that the narrowest panels may hold
SLOPE_RANGE = 10.0  # where the largest |φ′| is looked for


class Unsettled(Exception):
    """A mean that quadrature does not find; says what the function does, and where."""


@dataclass(frozen=True)
class Response:
    """An activation as theory sees it: functions of h, averages over its own noise if it has any.

    Attributes:
        mean: E φ(h).
        square: E φ(h)².
        slope: E φ′(h).
        slope_square: E φ′(h)².
    """

    mean: Function
    square: Function
    slope: Function
    slope_square: Function

    @classmethod
    def of(cls, value: Function, derivative: Function) -> Response:
        """A function without noise and its derivative."""
        return cls(value, lambda x: value(x) ** 2, derivative, lambda x: derivative(x) ** 2)

    @classmethod
    def random_slope(cls, first: float, second: float) -> Response:
        """A leaky ReLU whose negative slope has these first and second moments."""

        def kinked(negative: float) -> Function:
            return lambda x: np.where(x > 0, 1.0, negative)

        return cls(
            mean=lambda x: x * kinked(first)(x),
            square=lambda x: x**2 * kinked(second)(x),
            slope=kinked(first),
            slope_square=kinked(second),
        )


def response(activation: Activation, training: bool = True) -> Response:
    """An activation's response, at the initial parameters if it learns; averages over them if they are random.

    In training mode the random slopes of RReLU and PaperRReLU are averaged over; any other noise is left out,
    as in evaluation mode.
    """
    distribution = slope_distribution(activation.module()) if training else None
    if distribution is not None:
        slopes = distribution.quantile((NODES + 1) / 2)
        return Response.random_slope(slopes @ WEIGHTS / 2, slopes**2 @ WEIGHTS / 2)
    return Response(
        mean=lambda x: activation.evaluate(x)[0],
        square=lambda x: activation.evaluate(x, 2)[0],
        slope=lambda x: activation.evaluate(x)[1],
        slope_square=lambda x: activation.evaluate(x, 2)[1],
    )


def gaussian_mean(f: Function, scale: float = 1.0, tolerance: float = 1e-13) -> float:
    """E f(scale · z), whatever kinks and jumps f has.

    Gauss-Lobatto quadrature of 11 nodes on panels of width 1 over [-12, 12]; a panel whose halves do not add
    up to it is halved again, down to a width of 2^-45, where a jump no longer matters. Gauss-Hermite
    quadrature assumes a smooth f: with 100 nodes its E max(z, 0) is off by .0016.

    Raises:
        Unsettled: more panels than `MAX_PANELS` do not do, or the narrowest still hold a thousandth of the sum.
    """
    left = np.arange(-TAIL, TAIL)
    width = np.ones_like(left)
    coarse = _panels(f, scale, left, width)
    total = 0.0
    for _ in range(45):
        half = width / 2
        first, second = _panels(f, scale, left, half), _panels(f, scale, left + half, half)
        rough = ~(np.abs(first + second - coarse) <= tolerance * np.maximum(1.0, np.abs(coarse)))
        total += (first + second)[~rough].sum()
        if not rough.any():
            return float(total)
        if 2 * rough.sum() > MAX_PANELS:
            raise Unsettled(_trouble(f, scale, left[rough], width[rough]))
        left = np.concatenate([left[rough], (left + half)[rough]])
        width = np.tile(half[rough], 2)
        coarse = np.concatenate([first[rough], second[rough]])
    if not np.abs(coarse).sum() <= UNSETTLED * max(1.0, abs(total)):
        raise Unsettled(_trouble(f, scale, left, width))
    return float(total + coarse.sum())


def _trouble(f: Function, scale: float, left: np.ndarray, width: np.ndarray) -> str:
    """What f does on the panels that do not settle."""
    x = scale * (left[:, None] + width[:, None] * (NODES + 1) / 2).ravel()
    size = np.abs(f(x))
    if not np.isfinite(size).all():
        return f"is not finite near x = {x[~np.isfinite(size)][0]:.4g}"
    place, usual = int(size.argmax()), np.median(np.abs(f(scale * np.linspace(-TAIL, TAIL, 1000))))
    if size[place] > 1e4 * (1 + usual):
        return f"has a pole near x = {x[place]:.4g}"
    return f"varies too fast to be averaged, as near x = {x[place]:.4g}"


def _panels(f: Function, scale: float, left: np.ndarray, width: np.ndarray) -> np.ndarray:
    z = left[:, None] + width[:, None] * (NODES + 1) / 2
    density = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    return (f(scale * z) * density) @ WEIGHTS * width / 2


def chi(phi: Response, sigma_w2: float, q: float) -> float:
    """χ(q) = σ_w² E φ′(√q z)²: the factor of E‖δ‖² from a layer to the one below."""
    return sigma_w2 * gaussian_mean(phi.slope_square, math.sqrt(q))


def edge_of_chaos(phi: Response) -> tuple[float, float] | None:
    """(σ_w², σ_b²) with fixed point q = 1 and χ(1) = 1; None if no σ_b² ≥ 0 gives it."""
    return _edge(gaussian_mean(phi.square), gaussian_mean(phi.slope_square))


def _edge(second: float, slope_second: float, error: float = 1e-9) -> tuple[float, float] | None:
    sigma_w2 = 1 / slope_second
    sigma_b2 = 1 - sigma_w2 * second
    if sigma_b2 < -error:
        return None
    return sigma_w2, max(sigma_b2, 0.0)


def largest_slope(phi: Response) -> float:
    """max |φ′| on [-10, 10]."""
    x = np.linspace(-SLOPE_RANGE, SLOPE_RANGE, 4001)  # 0, where most kinks are, is one of them
    slope = np.abs(phi.slope(x))
    best = int(slope.argmax())
    bounds = x[max(best - 1, 0)], x[min(best + 1, len(x) - 1)]
    found = optimize.minimize_scalar(
        lambda t: -abs(float(phi.slope(np.array([t]))[0])),
        bounds=bounds,
        method="bounded",
        options={"xatol": 1e-10},
    )
    return max(float(slope[best]), -float(found.fun))


def constants(activation: Activation) -> dict[str, Any]:
    """The activation's row of the `activations` table.

    Keys: activation, kind, definition, gain (g₂), chi (at σ_w² = g₂², q = 1), mean (E φ(z)), variance (of
    φ(z)), slope_max (max |φ′|), sigma_w2 and sigma_b2 (the edge of chaos at q = 1, None if there is none),
    learnable and stochastic.

    Raises:
        StudyError: φ has no finite positive second moment, or is flat for |x| < 12; or a mean does not settle.
    """
    phi = response(activation)
    tolerance, error = (1e-6, 1e-4) if activation.drawn else (1e-13, 1e-9)  # the draws leave a percent anyway

    def mean_of(function: Function, what: str, squared: str = "") -> float:
        try:
            with np.errstate(over="ignore", invalid="ignore"):
                return gaussian_mean(function, tolerance=tolerance)
        except Unsettled as trouble:
            reason = f"the mean of {what}{squared} does not settle: {what} {trouble}"
            raise StudyError(f"activations.{activation.name}: {reason}") from None

    second = mean_of(phi.square, "φ", "²")
    if not (math.isfinite(second) and second > 0):
        raise StudyError(f"activations.{activation.name}: E φ(z)² is {second}, so it has no gain")
    slope_second = mean_of(phi.slope_square, "φ′", "²")
    if not slope_second > 0:
        raise StudyError(f"activations.{activation.name}: its derivative is zero wherever |x| < {TAIL:g}")
    mean = mean_of(phi.mean, "φ")
    mean = mean if abs(mean) > 1e-12 else 0.0  # an odd function's, but for the quadrature's rounding
    edge = _edge(second, slope_second, error)
    return {
        "activation": activation.name,
        "kind": activation.kind,
        "definition": activation.definition,
        "gain": second**-0.5,
        "chi": 1 / second * slope_second,
        "mean": mean,
        "variance": second - mean**2,
        "slope_max": largest_slope(phi),
        "sigma_w2": edge[0] if edge else None,
        "sigma_b2": edge[1] if edge else None,
        "learnable": activation.learnable,
        "stochastic": activation.stochastic,
    }


@dataclass(frozen=True)
class UniformProduct:
    """The product of n independent draws from U(0, 1): minus its logarithm is Gamma(n, 1)."""

    n: int

    def probability_above(self, value: float) -> float:
        return float(stats.gamma.cdf(-math.log(value), self.n))

    def quantile(self, p: float) -> float:
        return math.exp(-stats.gamma.isf(p, self.n))

    @property
    def mean(self) -> float:
        return 2.0**-self.n


def sigmoid_product(n: int) -> tuple[float, float]:
    """log10 of the product of n derivatives of the sigmoid: (largest possible, mean for h ~ N(0, 1))."""

    def log_slope(h: np.ndarray) -> np.ndarray:
        return -(np.logaddexp(0, h) + np.logaddexp(0, -h)) / math.log(10)

    return n * math.log10(0.25), n * gaussian_mean(log_slope)
