"""The constants of the default activations, and mean-field predictions against simulated networks."""

import itertools
import math

import numpy as np
import pytest
from scipy import integrate, special, stats

import laws
from activation_study.activations import poles, theory
from activation_study.activations.activation import from_entry
from activation_study.core.errors import StudyError
from formulas import TABLE

# name -> E φ, g₂, χ at g₂, edge of chaos (σ_w², σ_b²), to three decimals or as many as printed
PRINTED = {
    "identity": (0, 1, 1, 1, 0),
    "sigmoid": (0.500, 1.846, 0.153, None, None),
    "tanh": (0, 1.593, 1.178, 2.153, 0.151),
    "relu": (0.399, 1.414, 1, 2, 0),
    "leaky_relu": (0.395, 1.4141, 1, 1.9998, 0),
    "very_leaky_relu": (0.326, 1.391, 1, 1.936, 0),
    "rrelu": (0.308, 1.376, 1, 1.894, 0),
    "rrelu_article": (0.199, 1.225, 1, 1.5, 0),
    "rrelu_paper": (0.321, 1.386, 1, 1.92, 0),
    "prelu": (0.299, 1.372, 1, 1.882, 0),
    "elu": (0.161, 1.245, 1.036, 1.497, 0.035),
    "selu": (0, 1, 1.072, 0.933, 0.067),
    "gelu": (0.282, 1.534, 1.072, 2.194, 0.067),
    "silu": (0.207, 1.677, 1.067, 2.635, 0.062),
    "mish": (0.240, 1.487, 1.059, 2.087, 0.056),
    "softplus": (0.806, 1.042, 0.318, None, None),
    "celu": (0.161, 1.245, 1.036, 1.497, 0.035),
    "leaky_0": (0.399, 1.414, 1, 2, 0),
    "relu_centred": (0, 1.713, 1.467, 2, 0.318),
}


def activation(name):
    return from_entry(name, TABLE[name][0])


def response(name, training=True):
    return theory.response(activation(name), training)


def digits(value):
    """Half a unit of the last printed place."""
    text = f"{value:.4f}".rstrip("0")
    return 0.5001 * 10.0 ** -max(len(text.split(".")[1]), 3)


@pytest.mark.slow
@pytest.mark.parametrize("name", PRINTED)
def test_constants_to_every_printed_digit(name):
    row = theory.constants(activation(name))
    for key, printed in zip(("mean", "gain", "chi", "sigma_w2", "sigma_b2"), PRINTED[name], strict=True):
        if printed is None:
            assert row[key] is None
        else:
            assert row[key] == pytest.approx(printed, abs=digits(printed)), key
    assert row["variance"] == pytest.approx(row["gain"] ** -2 - row["mean"] ** 2)
    assert (row["activation"], row["kind"]) == (name, activation(name).kind)


@pytest.mark.slow
@pytest.mark.parametrize("name", TABLE)
def test_largest_slope(name):
    derivative = TABLE[name][2]
    expected = np.abs(derivative(np.linspace(-10, 10, 2_000_001))).max()
    assert theory.largest_slope(response(name)) == pytest.approx(expected, abs=1e-9)


def test_the_sigmoids_largest_slope_is_a_quarter():
    assert theory.largest_slope(response("sigmoid")) == 0.25


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in TABLE if not name.startswith("rrelu")])
def test_moments_against_scipy_on_independent_formulas(name):
    _, value, derivative = TABLE[name]
    row = theory.constants(activation(name))

    def gaussian(f):
        return sum(
            integrate.quad(lambda z: float(f(np.array(z))) * stats.norm.pdf(z), a, b, epsabs=1e-12)[0]
            for a, b in ((-12, -1), (-1, 0), (0, 1), (1, 12))
        )

    second = gaussian(lambda z: value(z) ** 2)
    assert row["mean"] == pytest.approx(gaussian(value), abs=1e-10)
    assert row["gain"] == pytest.approx(second**-0.5, rel=1e-10)
    assert row["chi"] == pytest.approx(gaussian(lambda z: derivative(z) ** 2) / second, rel=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "first", "second", "evaluation"),
    [
        ("rrelu", 11 / 48, 11**2 / 48**2 + (5 / 24) ** 2 / 12, 11 / 48),
        ("rrelu_article", 1 / 2, 1 / 3, 1 / 2),
        ("rrelu_paper", math.log(8 / 3) / 5, 1 / 24, 2 / 11),
    ],
)
def test_random_slopes_by_their_closed_moments(name, first, second, evaluation):
    row = theory.constants(activation(name))
    assert row["mean"] == pytest.approx((1 - first) / math.sqrt(2 * math.pi), rel=1e-12)
    assert row["gain"] == pytest.approx(math.sqrt(2 / (1 + second)), rel=1e-12)
    assert row["stochastic"]
    fixed = laws.second_moment_gain(response(name, training=False))
    assert fixed == pytest.approx(math.sqrt(2 / (1 + evaluation**2)), rel=1e-12)


def test_the_articles_rrelu_in_evaluation_mode():
    assert laws.second_moment_gain(response("rrelu_article", training=False)) == pytest.approx(1.265, abs=5e-4)


@pytest.mark.parametrize("kink", [-2.7, -0.123456, 0.0, math.pi / 3, 5.0])
@pytest.mark.parametrize("scale", [0.01, 0.7, 1.0, 30.0])
def test_quadrature_with_a_jump_or_kink_anywhere(kink, scale):
    t = kink / scale
    assert theory.gaussian_mean(lambda h: (h > kink) * 1.0, scale) == pytest.approx(stats.norm.sf(t), abs=1e-11)
    expected = scale * stats.norm.pdf(t) - kink * stats.norm.sf(t)
    assert theory.gaussian_mean(lambda h: np.maximum(h - kink, 0), scale) == pytest.approx(expected, abs=1e-11 * scale)


@pytest.mark.parametrize("power", range(0, 12, 2))
def test_quadrature_of_powers(power):
    double_factorial = math.prod(range(power - 1, 0, -2))
    assert theory.gaussian_mean(lambda z: z**power) == pytest.approx(double_factorial, rel=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n, row in PRINTED.items() if row[3] is not None])
def test_the_edge_of_chaos_is_a_fixed_point_with_unit_slope(name):
    phi = response(name)
    sigma_w2, sigma_b2 = theory.edge_of_chaos(phi)
    assert laws.q_map(phi, 1.0, sigma_w2, sigma_b2) == pytest.approx(1)
    assert theory.chi(phi, sigma_w2, 1.0) == pytest.approx(1)


@pytest.mark.parametrize("text", ["relu(x - 20)", "1 + relu(x - 20)"])
def test_a_function_that_is_flat_where_data_are_has_no_constants(text):
    with pytest.raises(StudyError, match=r"activations\.flat: "):
        theory.constants(from_entry("flat", {"expression": text}))


@pytest.mark.parametrize(
    ("text", "held"),
    [
        ("(1 + x + x**2) / (1 - 0.7*x)", "of φ² does not settle: φ has a pole near x = 1.42"),
        ("1/(x - 0.3)", "φ has a pole near x = 0.3"),
        ("1/(x - 7.77)", "φ has a pole near x = 7.77"),
        ("1/sin(x + 0.1)", "φ has a pole near x = "),
        ("sin(1e6*x)", "φ varies too fast to be averaged"),
        ("x + 1e-3*sin(1e6*x)", "φ varies too fast to be averaged"),
        ("log(abs(x - 0.3))", "of φ′² does not settle: φ′ has a pole near x = 0.3"),
        ("sqrt(abs(x - 0.3))", "of φ′² does not settle: φ′ has a pole near x = 0.3"),
    ],
)
def test_a_mean_that_does_not_settle_is_said_in_little_time_and_memory(text, held, monkeypatch):
    monkeypatch.setattr(poles, "find", lambda f, reach: None)  # it refuses most of these before a mean is taken
    wide, asked = theory._panels, []
    monkeypatch.setattr(
        theory, "_panels", lambda f, scale, left, width: asked.append(len(left)) or wide(f, scale, left, width)
    )
    with pytest.raises(StudyError, match=r"activations\.rational: the mean ") as caught:
        theory.constants(from_entry("rational", {"expression": text}))
    assert held in str(caught.value)
    assert max(asked) <= theory.MAX_PANELS
    assert sum(asked) <= 10 * theory.MAX_PANELS, "points, each a microsecond or so"


@pytest.mark.parametrize(
    ("text", "second"), [("sin(100*x)", 0.5), ("x + sin(30*x)", 1.5), ("abs(x - 0.3)**0.75", None)]
)
def test_what_is_merely_rough_settles(text, second):
    row = theory.constants(from_entry("rough", {"expression": text}))
    if second is None:
        second = integrate.quad(lambda z: abs(z - 0.3) ** 1.5 * stats.norm.pdf(z), -12, 12, points=[0.3], limit=500)[0]
    assert row["gain"] == pytest.approx(second**-0.5, rel=1e-8)


def network(name, sigma_w2, sigma_b2, depth, width, rng):
    """One random network and one input with q¹ = 1: log10 ‖δ^ℓ‖ up to a constant, and q of every layer."""
    _, value, derivative = TABLE[name]
    h, slopes, weights, q = rng.standard_normal(width), [], [], []
    h *= math.sqrt(width / (h @ h))
    for layer in range(depth):
        if layer:
            w = rng.standard_normal((width, width)) * math.sqrt(sigma_w2 / width)
            h = w @ value(h) + math.sqrt(sigma_b2) * rng.standard_normal(width)
            weights.append(w)
        q.append(h @ h / width)
        slopes.append(derivative(h))
    delta = rng.standard_normal(width) * slopes[-1]
    norms = [np.linalg.norm(delta)]
    for w, slope in zip(reversed(weights), reversed(slopes[:-1]), strict=True):
        delta = slope * (w.T @ delta)
        norms.append(np.linalg.norm(delta))
    return np.log10(norms[::-1]), np.array(q)


SIMULATED = ["tanh", "relu", "elu", "selu", "gelu"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "scheme"),
    [("sigmoid", "xavier"), ("sigmoid", "gain"), *itertools.product(SIMULATED, ["xavier", "gain", "edge"])],
)
def test_gradient_decay_of_simulated_networks(name, scheme):
    """Width 400, depth 12, 8 networks: the slope of log10 ‖δ‖ per layer within .01, that is 2% a layer."""
    phi, depth = response(name), 12
    gain2 = laws.second_moment_gain(phi) ** 2
    schemes = {"xavier": (1.0, 0.0), "gain": (gain2, 0.0), "edge": theory.edge_of_chaos(phi)}
    sigma_w2, sigma_b2 = schemes[scheme]
    rng = np.random.default_rng(0)
    simulated = [network(name, sigma_w2, sigma_b2, depth, 400, rng) for _ in range(8)]
    decay = np.mean([norms - norms[-1] for norms, _ in simulated], axis=0)
    predicted = laws.gradient_decay(phi, depth, sigma_w2, sigma_b2)
    assert predicted[-1] == 0
    assert (decay[0] - predicted[0]) / (depth - 1) == pytest.approx(0, abs=0.01)
    q = np.mean([q for _, q in simulated], axis=0)
    np.testing.assert_allclose(q, laws.variances(phi, depth, sigma_w2, sigma_b2), rtol=0.25)


@pytest.mark.parametrize(
    ("name", "sigma_w2", "per_layer"),
    [
        ("sigmoid", 1.0, 0.2361),
        ("relu", 1.0, 0.7071),
        ("relu", 2.0, 1.0),
        ("relu", 1 / 3, 0.4082),
        ("selu", 1.0, 1.0352),
    ],
)
def test_norm_ratio_of_one_layer(name, sigma_w2, per_layer):
    phi = response(name)
    q = laws.variances(phi, 60, sigma_w2)[-1] if name == "sigmoid" else 1.0
    assert math.sqrt(theory.chi(phi, sigma_w2, q)) == pytest.approx(per_layer, abs=1e-4)


@pytest.mark.slow
def test_relu_under_torchs_default_initialisation():
    assert laws.gradient_decay(response("relu"), 20, 1 / 3)[0] == pytest.approx(-7.4, abs=0.05)


def test_product_of_fifty_uniforms():
    law = theory.UniformProduct(50)
    assert law.probability_above(1e-18) == pytest.approx(0.108, abs=5e-4)
    assert law.probability_above(1e-17) == pytest.approx(0.053, abs=5e-4)
    assert law.quantile(0.5) == pytest.approx(2.7e-22, rel=0.02)
    assert law.mean == pytest.approx(8.9e-16, rel=0.01)
    products = np.random.default_rng(0).random((200_000, 50)).prod(axis=1)
    low, high = stats.binomtest(int((products > 1e-18).sum()), len(products)).proportion_ci(0.9999)
    assert low < law.probability_above(1e-18) < high
    assert np.median(products) == pytest.approx(law.quantile(0.5), rel=0.1)
    assert law.probability_above(law.quantile(0.9)) == pytest.approx(0.1)


@pytest.mark.slow
def test_product_of_fifty_sigmoid_derivatives():
    largest, mean = theory.sigmoid_product(50)
    assert largest == pytest.approx(-30.1, abs=0.05)
    assert mean == pytest.approx(-35.0, abs=0.05)
    s = special.expit(np.random.default_rng(0).standard_normal((100_000, 50)))
    drawn = np.log10(s * (1 - s)).sum(1)
    assert mean == pytest.approx(drawn.mean(), abs=5 * drawn.std() / math.sqrt(len(drawn)))
    assert drawn.max() < largest
