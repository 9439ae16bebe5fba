"""What has no bound between the points of a grid is found, and what is steep but finite is not taken for it."""

import numpy as np
import pytest
from scipy import special

from activation_study.activations import poles
from activation_study.activations.activation import from_entry
from activation_study.core.errors import StudyError


@pytest.mark.parametrize(
    ("text", "place"),
    [
        *((f"1/(x - {place})", place) for place in (0.3, 7.77, 9.53, 10.03, 11.123, 28.3337)),
        ("x + 1e-6/(x - 8.317)", 8.317),
        ("x - 1e-6/(x - 8.317)", 8.317),
        ("1/(x + 15.003)**2", -15.003),
        ("1/(x*x - 19.06*x + 9.53**2)", 9.53),
        ("1/(x**3 - 870.1)", 870.1 ** (1 / 3)),
        ("1/cos(x/20 + .5)", 20 * (np.pi / 2 - 0.5)),
        ("log(abs(x - 14.1))", 14.1),
        ("log(abs(x - 14.0037))", 14.0037),
        ("sqrt(abs(x - 15.003))", 15.003),
        ("where(x < 9.5, x, 1/(x - 9.53))", 9.53),
    ],
)
def test_a_pole_anywhere_is_found(text, place):
    with pytest.raises(StudyError, match="without bound") as caught:
        from_entry("it", {"expression": text})
    assert float(str(caught.value).split("near x = ")[1]) == pytest.approx(place, rel=1e-4)


@pytest.mark.parametrize("place", [20.1, -29.7, 14.1])
def test_a_pole_on_the_grid_is_found(place):
    with pytest.raises(StudyError, match=r"without bound|not finite") as caught:
        from_entry("it", {"expression": f"1/(x - ({place}))"})
    assert f"x = {place:g}" in str(caught.value)


@pytest.mark.parametrize("seed", range(30))
def test_poles_of_any_order_and_place(seed):
    source = np.random.default_rng(seed)
    place, order = source.uniform(-30, 30), source.choice([-2.5, -1.0, -0.4, -0.1, 0.3, 0.45])

    def curve(x):
        d = x - place
        return np.abs(d) ** order, order * np.sign(d) * np.abs(d) ** (order - 1)

    assert f"near x = {place:.3g}"[:-1] in poles.find(curve, 30.0)


@pytest.mark.parametrize(
    "text",
    [
        *("tanh(1e6*x)", "x + tanh(1e6*(x - .003))", "x + tanh(1e8*(x - 12.0037))", "x + exp(-1000*x**2)"),
        *("erf(1e5*x)", "sin(100*x)", "1/(1 + 1e8*(x - 12.0001)**2)", "abs(x - 0.3)**0.75", "abs(x - 15.1)**0.7"),
        *("where(x > 9.53, x, 0)", "exp(x)", "x**16", "x - sign(x)", "where(x < 9.53, x, 1/(x - 9))"),
    ],
)
def test_what_is_steep_but_finite_is_taken(text):
    assert from_entry("it", {"expression": text}).kind == "expression"


@pytest.mark.parametrize("steepness", [1e2, 1e4, 1e6, 1e8])
@pytest.mark.parametrize("seed", range(5))
def test_a_step_of_any_steepness_and_place_has_a_bound(steepness, seed):
    place = np.random.default_rng(seed).uniform(-30, 30)

    def curve(x):
        z = steepness * (x - place)
        return special.erf(z), steepness * 2 / np.sqrt(np.pi) * np.exp(-(z**2))

    assert poles.find(curve, 30.0) is None


def test_looking_closer_takes_few_points():
    asked = []

    def curve(x):
        asked.append(len(x))
        return special.expit(x), special.expit(x) * special.expit(-x)

    assert poles.find(curve, 30.0) is None
    assert sum(asked) < 2 * poles.POINTS
