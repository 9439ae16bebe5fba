"""SELU's constants against PyTorch's, quadrature and networks drawn with NumPy."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from activation_study.activations.self_normalising import is_selu, selu_constants


def selu(x, alpha, scale):
    return scale * np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def test_variance_1_is_pytorchs_selu():
    x = torch.linspace(-5, 5, 101, dtype=torch.float64)
    np.testing.assert_allclose(selu(x.numpy(), *selu_constants()), torch.selu(x).numpy(), rtol=1e-12)


def test_variance_2_is_the_articles():
    assert selu_constants(2) == pytest.approx((1.97126, 1.06071), abs=5e-6)


@pytest.mark.parametrize("variance", [0.5, 1, 2, 3.7])
def test_mean_and_variance_are_a_fixed_point(variance: float):
    constants, density = selu_constants(variance), stats.norm(0, math.sqrt(variance)).pdf

    def moment(power: int) -> float:
        halves = (-30, 0), (0, 30)
        return sum(integrate.quad(lambda h: selu(h, *constants) ** power * density(h), *half)[0] for half in halves)

    assert [moment(1), moment(2)] == pytest.approx([0, variance], abs=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("variance", [1, 2])
def test_wide_networks_come_back_to_it(variance: float):
    rng, width = np.random.default_rng(0), 800
    x = 0.5 + math.sqrt(1.4 * variance) * rng.standard_normal((width, 50))
    for _ in range(16):
        x = selu(rng.standard_normal((width, width)) @ x / math.sqrt(width), *selu_constants(variance))
    assert x.mean() == pytest.approx(0, abs=0.05)
    assert (x**2).mean() == pytest.approx(variance, rel=0.15)


def test_selu_is_known_by_its_values():
    x = torch.linspace(-5, 5, 201, dtype=torch.float64)
    assert is_selu(x, torch.selu(x))
    assert not is_selu(x, torch.nn.functional.elu(x))
