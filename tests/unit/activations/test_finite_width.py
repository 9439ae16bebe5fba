"""Laws of networks of finite width against closed forms and networks drawn with NumPy."""

import math
from itertools import pairwise

import numpy as np
import pytest
from scipy import integrate, special, stats

from activation_study.activations import finite_width


def layers(rng: np.random.Generator, networks: int, widths: list[int], gain: float):
    for inputs, units in pairwise(widths):
        yield gain / math.sqrt(inputs) * rng.standard_normal((networks, units, inputs), dtype=np.float32)


def dead(rng: np.random.Generator, networks: int, width: int, depth: int, inputs: list[float]) -> float:
    """The share of networks with no unit alive in the last of `depth` layers, at any of the inputs."""
    x = np.broadcast_to(np.array([inputs], np.float32), (networks, 1, len(inputs)))
    for weight in layers(rng, networks, [1] + depth * [width], 1.0):
        x = np.maximum(weight @ x, 0)
    return float((x == 0).all((1, 2)).mean())


@pytest.mark.parametrize("slope", [0, 0.25, 0.5, 1])
def test_the_fluctuation_is_that_of_the_moments(slope: float):
    def moment(power: int) -> float:
        return (1 + slope**power) * integrate.quad(lambda z: z**power * stats.norm.pdf(z), 0, 12)[0]

    assert finite_width.fluctuation(slope) == pytest.approx(moment(4) / moment(2) ** 2 - 1)


@pytest.mark.parametrize(("slope", "expected"), [(0, [0.391, 1.56, 3.91]), (0.25, [0.339, 1.36, 3.39])])
def test_the_variance_of_64_units(slope: float, expected: list[float]):
    found = [finite_width.log_square_norm(slope, depth * [64]).var() for depth in (5, 20, 50)]
    assert found == pytest.approx(expected, abs=0.006)


@pytest.mark.parametrize("width", [64, 256])
def test_linear_networks_are_products_of_chi_squares(width: int):
    """ln χ²ₙ/n has mean ψ(n/2) − ln(n/2) and variance ψ′(n/2)."""
    law = finite_width.log_square_norm(1, 20 * [width])
    half = width / 2
    assert law.mean() == pytest.approx(20 * (special.digamma(half) - math.log(half)), rel=1 / width)
    assert law.var() == pytest.approx(20 * special.polygamma(1, half), rel=2 / width)


@pytest.mark.parametrize("width", [64, 256])
def test_relu_networks_are_products_of_mixtures(width: int):
    """Of n units k ~ Bin(n, ½) are positive, so that the factor is 2 χ²ₖ/n."""
    k = np.arange(1, width + 1)
    share = stats.binom.pmf(k, width, 0.5)
    mean = special.digamma(k / 2) - math.log(width / 4)
    exact = share @ mean, share @ (special.polygamma(1, k / 2) + mean**2) - (share @ mean) ** 2
    law = finite_width.log_square_norm(0, [width])
    assert law.mean() == pytest.approx(exact[0], rel=5 / width)
    assert law.var() == pytest.approx(exact[1], rel=5 / width)


@pytest.mark.slow
@pytest.mark.parametrize("slope", [0, 0.25])
def test_single_networks_scatter_as_the_law_says_forwards_and_backwards(slope: float):
    rng, networks, widths = np.random.default_rng(0), 2000, [20, *(8 * [48]), 24]
    gain = math.sqrt(2 / (1 + slope**2))
    x = rng.standard_normal((networks, widths[0], 1), dtype=np.float32)
    first, weights, slopes = (x**2).mean((1, 2)), [], []
    for weight in layers(rng, networks, widths, gain):
        h = weight @ x
        x = np.where(h > 0, h, slope * h)
        weights.append(weight)
        slopes.append(np.where(h > 0, 1, slope).astype(np.float32))
    forwards = np.log((x**2).mean((1, 2)) / first)

    delta = rng.standard_normal(h.shape, dtype=np.float32) * slopes[-1]
    last = (delta**2).sum((1, 2))
    for weight, kept in zip(weights[:0:-1], slopes[-2::-1], strict=True):
        delta = kept * (weight.transpose(0, 2, 1) @ delta)
    backwards = np.log((delta**2).sum((1, 2)) / last)

    for found, used in ((forwards, widths[1:]), (backwards, widths[1:-1])):
        law = finite_width.log_square_norm(slope, used)
        assert found.mean() == pytest.approx(law.mean(), abs=4 * law.std() / math.sqrt(networks) + 0.05 * law.var())
        assert found.var() == pytest.approx(law.var(), rel=4 * math.sqrt(2 / networks) + 0.06)
        assert 0.92 < np.mean(np.abs(found - found.mean()) < 1.96 * law.std()) < 0.98


@pytest.mark.parametrize(("width", "depth", "expected"), [(3, 10, 0.737), (5, 10, 0.272), (8, 50, 0.178)])
def test_born_dead_for_one_input(width: int, depth: int, expected: float):
    predicted = finite_width.born_dead(depth * [width])
    assert predicted == pytest.approx(expected, abs=0.0005)
    assert dead(np.random.default_rng(0), 5000, width, depth, [1.0]) == pytest.approx(predicted, abs=0.025)


def test_unlike_widths_multiply():
    assert finite_width.born_dead([1, 2]) == pytest.approx(1 - 1 / 2 * 3 / 4)


@pytest.mark.parametrize("width", [1, 2, 3, 5])
def test_two_layers_on_a_line_in_closed_form(width: int):
    """With units of both signs in layer 1, two rays at right angles die together with 4⁻ⁿ; else one is left."""
    low, high = finite_width.born_dead_on_a_line(width, 2)
    assert low == pytest.approx(2 * 0.5**width * 0.5**width + (1 - 2 * 0.5**width) * 0.25**width)
    assert high == pytest.approx(finite_width.born_dead([width] * 2))


@pytest.mark.slow
@pytest.mark.parametrize(("width", "depth"), [(2, 4), (2, 10), (3, 10), (5, 10), (5, 30)])
def test_networks_on_a_line_lie_between_the_bounds(width: int, depth: int):
    low, high = finite_width.born_dead_on_a_line(width, depth)
    found = dead(np.random.default_rng(0), 20_000, width, depth, [-1.0, 1.0])
    assert low - 0.007 < found < high + 0.007


def test_one_layer_is_never_dead_on_a_line():
    assert finite_width.born_dead_on_a_line(4, 1)[0] == 0


@pytest.mark.slow
@pytest.mark.parametrize("slope", [0.0, 0.25])
def test_half_of_the_single_networks_lie_between_the_quartiles(slope: float):
    """4,000 networks of 64 units and 20 layers, by their backward pass from a random δ^L: 50% within 4 points."""
    rng, depth, width, count = np.random.default_rng(3), 20, 64, 4000
    gain = np.sqrt(2 / (1 + slope**2) / width)
    inside = np.zeros(count, dtype=bool)
    low, high = finite_width.gradient_quartiles(slope, depth, width)[0]
    for place in range(count):
        weights = gain * rng.normal(size=(depth, width, width))
        x, slopes = rng.normal(size=width), []
        for matrix in weights:
            h = matrix @ x
            slopes.append(np.where(h > 0, 1.0, slope))
            x = slopes[-1] * h
        delta = slopes[-1] * rng.normal(size=width)
        last = np.linalg.norm(delta)
        for layer in range(depth - 1, 0, -1):
            delta = slopes[layer - 1] * (weights[layer].T @ delta)
        inside[place] = low < np.log10(np.linalg.norm(delta) / last) < high
    assert inside.mean() == pytest.approx(0.5, abs=0.04)


def test_a_leaky_relu_is_known_by_its_values():
    x = np.linspace(-5, 5, 201)
    assert finite_width.leaky_slope(x, np.where(x > 0, x, 0.3 * x)) == pytest.approx(0.3)
    assert finite_width.leaky_slope(x, np.maximum(x, 0)) == 0
    assert finite_width.leaky_slope(x, np.tanh(x)) is None
    assert finite_width.leaky_slope(x, 2 * np.maximum(x, 0)) is None
