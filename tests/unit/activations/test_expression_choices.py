"""Choices between formulas: where(…), if and else, masks; and formulas for what is written otherwise."""

import math

import numpy as np
import pytest
import torch

from activation_study.activations.activation import from_entry
from activation_study.activations.expressions import parse
from activation_study.core.errors import StudyError
from activation_study.networks import kernels

X = np.array([-5.0, -1.3, -0.2, 0.0, 0.7, 2.0, 9.0])

ONE_SIDED = {
    "where(x > 0, x, 0)": lambda x: torch.where(x > 0, x, 0 * x.nan_to_num()),
    "where(x > 0, x, -1)": lambda x: torch.where(x > 0, x, -torch.ones_like(x)),
    "x if x > 0 else 0": lambda x: torch.where(x > 0, x, torch.zeros_like(x)),
    "where(abs(x) < 1, x, 0)": lambda x: torch.where(x.abs() < 1, x, torch.zeros_like(x)),
    "where(abs(x) > 1e-3, x, 0)": lambda x: torch.where(x.abs() > 1e-3, x, torch.zeros_like(x)),
    "where(x < -1, -1, where(x > 1, 1, x))": lambda x: torch.where(x.abs() > 1, x.sign(), x),
    "where(x > 0, where(x > 1, 2, 1), tanh(x))": lambda x: torch.where(x > 0, 1.0 + (x > 1), x.tanh()),
}


@pytest.mark.parametrize("text", ONE_SIDED)
@pytest.mark.parametrize(
    "points", [[-2.0, 5e-4, 0.5, 3.0], [-2.0, -3.0], [2.0, 3.0], [5e-4], [math.inf], [-math.inf, -2.0], [0.0]]
)
def test_a_side_that_is_a_number_has_derivative_zero(text, points):
    x, y = (torch.tensor(points, dtype=torch.float64, requires_grad=True) for _ in range(2))
    got, expected = parse(text)(x), ONE_SIDED[text](y)
    slope, true = torch.autograd.grad(got.sum(), x)[0], torch.autograd.grad(expected.sum(), y)[0]
    torch.testing.assert_close(got, expected, rtol=0, atol=0)
    torch.testing.assert_close(slope, true, rtol=1e-15, atol=0)


@pytest.mark.parametrize("text", ONE_SIDED)
@pytest.mark.parametrize("level", [-2.0, 2.0, 1e-5])
def test_a_layer_all_on_one_side_is_trained(text, level):
    kernel = kernels.layer_kernel(
        from_entry("it", {"expression": text}), 2, 3, dtype=torch.float64, device="cpu", seeds=[1, 2], layer=1
    )
    h = torch.full((2, 4, 3), level, dtype=torch.float64)
    grad, y = torch.randn_like(h), h.clone().requires_grad_()
    expected = ONE_SIDED[text](y)
    x = kernel.forward(h, torch.empty_like(h))
    torch.testing.assert_close(x, expected.detach())
    (true,) = torch.autograd.grad(expected, y, grad)
    torch.testing.assert_close(kernel.backward(h, x, grad, torch.empty_like(h)), true)


@pytest.mark.parametrize(
    ("text", "instead"),
    [
        ("x.clamp(0)", "clamp(x, min=0)"),
        ("x.clip(-1, max=2)", "clip(x, -1, max=2)"),
        ("x.pow(2)", "pow(x, 2)"),
        ("x.relu_()", "relu(x)"),
        ("nn.ReLU()(x)", "relu(x)"),
        ("torch.nn.Tanh()(2*x)", "tanh(2 * x)"),
        ("step(x)", "where(x > 0, 1, 0)"),
        ("heaviside(x, 0)", "where(x > 0, 1, 0)"),
    ],
)
def test_what_is_told_to_be_written_is_taken(text, instead):
    with pytest.raises(StudyError) as caught:
        parse(text)
    assert str(caught.value).endswith(f"write {instead}")
    parse(instead)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("-(x>0)*x", -np.maximum(X, 0)),
        ("(x>0)/2*x", np.maximum(X, 0) / 2),
        ("x*-(x>0)/2", -np.maximum(X, 0) / 2),
        ("-(x>0)/4*-(x<1)*x", np.where((X > 0) & (X < 1), X / 4, 0)),
        ("(x>0)/(1 + x*x)*x", np.where(X > 0, X / (1 + X * X), 0)),
    ],
)
def test_a_mask_may_be_negated_or_divided(text, expected):
    np.testing.assert_allclose(parse(text)(torch.tensor(X)).numpy(), expected, rtol=1e-14)
