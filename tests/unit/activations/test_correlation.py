"""The cosine of two inputs, layer by layer, against quadrature and networks drawn with NumPy."""

import math

import numpy as np
import pytest
from scipy import integrate

from activation_study.activations import correlation


def test_published_values():
    assert [correlation.after(n, 0, 0) for n in (1, 2, 5, 20, 50)] == pytest.approx(
        [0.318, 0.494, 0.736, 0.948, 0.988], abs=0.0005
    )
    assert [correlation.tailored_slope(n) for n in (5, 20, 50, 100)] == pytest.approx(
        [0, 0.1814, 0.4305, 0.5704], abs=5e-5
    )


@pytest.mark.parametrize("slope", [0, 0.2, 0.7])
@pytest.mark.parametrize("cosine", [-0.9, 0, 0.6])
def test_one_layer_by_quadrature_over_two_normal_variables(slope: float, cosine: float):
    """In polar coordinates: E φ(u)φ(v) is a mean over the direction alone, as φ is homogeneous and E r² = 2."""

    def phi(x: float) -> float:
        return x if x > 0 else slope * x

    angle = math.acos(cosine)
    kinks = sorted({k * math.pi / 2 % (2 * math.pi) for k in (1, 3)} | {(angle + k * math.pi / 2) % 7 for k in (-1, 1)})
    mean = (
        integrate.quad(
            lambda t: phi(math.cos(t)) * phi(math.cos(t - angle)),
            0,
            2 * math.pi,
            points=[k for k in kinks if 0 < k < 6.28],
        )[0]
        / math.pi
    )
    assert correlation.after(1, cosine, slope) == pytest.approx(mean * 2 / (1 + slope**2), abs=1e-9)


def test_a_linear_network_keeps_angles_and_parallel_inputs_stay_so():
    assert correlation.after(50, -0.3, 1.0) == -0.3
    assert correlation.after(50, 1.0, 0.0) == pytest.approx(1)
    assert correlation.after(1, -1.0, 0.0) == pytest.approx(0)
    assert correlation.after(0, 0.2, 0.0) == 0.2


@pytest.mark.slow
def test_wide_networks_at_the_tailored_slope_reach_the_target():
    rng, width, depth = np.random.default_rng(0), 400, 20
    slope = correlation.tailored_slope(depth, 0.8)
    cosines = []
    for _ in range(8):
        x = np.linalg.qr(rng.standard_normal((width, 2)))[0]
        for _ in range(depth):
            h = rng.standard_normal((width, width)) @ x * math.sqrt(2 / (1 + slope**2) / width)
            x = np.where(h > 0, h, slope * h)
        cosines.append(x[:, 0] @ x[:, 1] / np.linalg.norm(x[:, 0]) / np.linalg.norm(x[:, 1]))
    assert np.mean(cosines) == pytest.approx(0.8, abs=0.05)
