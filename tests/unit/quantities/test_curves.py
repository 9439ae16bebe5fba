"""Times and areas of curves whose answers are known in closed form."""

import math
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate

from activation_study.core.errors import StudyError
from activation_study.quantities import curves
from activation_study.quantities.curves import LOSS_FLOOR, area_under_loss, log_spaced_steps, time_to_target


@given(st.integers(1, 20_000), st.integers(1, 120))
def test_steps_are_log_spaced_from_zero_to_the_budget(steps, per_decade):
    spaced = log_spaced_steps(steps, per_decade)
    assert spaced[:2] == [0, 1]
    assert spaced[-1] == steps
    for before, after in pairwise(spaced[1:]):
        assert after == before + 1 or 1 < after / before <= 10 ** (1 / per_decade)


def test_a_longer_budget_only_adds_steps():
    assert log_spaced_steps(1000, 80)[:-1] == log_spaced_steps(3000, 80)[: len(log_spaced_steps(1000, 80)) - 1]


def test_eighty_evaluations_per_decade_are_three_percent_apart():
    late = np.array([step for step in log_spaced_steps(1000, 80) if step > 100])
    assert (late[1:] / late[:-1]).max() < 1.03


@given(
    st.lists(st.floats(0, 1), min_size=2, max_size=30),
    st.floats(0.01, 1),
)
def test_time_to_target_inverts_the_interpolated_curve(accuracy, target):
    steps = np.cumsum(np.arange(1, len(accuracy) + 1))
    time = time_to_target(steps, accuracy, target)
    if max(accuracy) < target:
        assert time == math.inf
    else:
        assert np.interp(time, steps, accuracy) >= target - 1e-9
        assert all(value < target for value, step in zip(accuracy, steps, strict=True) if step < time - 1e-9)


def test_time_to_target_is_linear_between_evaluations():
    assert time_to_target([0, 10, 20], [0.1, 0.5, 0.9], 0.6) == pytest.approx(12.5)
    assert time_to_target([0, 10, 20], [0.1, 0.9, 0.2], 0.5) == pytest.approx(5)


def test_a_target_met_at_once_takes_the_first_step():
    assert time_to_target([3, 10], [0.7, 0.1], 0.7) == 3


def test_nan_accuracy_reaches_nothing():
    assert time_to_target([0, 10, 20], [0.1, np.nan, np.nan], 0.5) == math.inf
    assert time_to_target([0, 10, 20], [0.1, np.nan, 0.6], 0.5) == 20


def test_area_is_the_integral_over_log_steps():
    """log loss = −0.1 log(step)², against scipy's quadrature in u = log(step)."""
    steps = np.array(log_spaced_steps(5000, 80))
    loss = np.exp(-0.1 * np.log(np.maximum(steps, 1)) ** 2)
    last = math.log(5000)
    expected = integrate.quad(lambda u: -0.1 * u**2, 0, last)[0] / last
    assert area_under_loss(steps, loss, cap=10) == pytest.approx(expected, rel=2e-3)


def test_area_does_not_depend_on_how_dense_the_grid_is():
    areas = [
        area_under_loss(steps, 2.0 / np.sqrt(np.maximum(steps, 1)), cap=5)
        for steps in (np.array(log_spaced_steps(2000, per_decade)) for per_decade in (10, 40, 160))
    ]
    assert np.ptp(areas) < 1e-9


def test_area_caps_losses_and_counts_divergence_as_guessing():
    cap = math.log(10)
    assert area_under_loss([0, 1, 10], [2, 1e9, np.nan], cap) == pytest.approx(math.log(cap))
    assert area_under_loss([1, 10], [np.inf, cap], cap) == pytest.approx(math.log(cap))
    assert area_under_loss([0, 1], [2, 0.5], cap) == pytest.approx(math.log(0.5))
    assert area_under_loss([1, 10], [0, 0], cap) == pytest.approx(math.log(LOSS_FLOOR))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: log_spaced_steps(0, 10), "at least 1"),
        (lambda: time_to_target([0, 1], [0.1], 0.5), "must be"),
        (lambda: time_to_target([1, 1], [0.1, 0.2], 0.5), "must increase"),
        (lambda: time_to_target([], [], 0.5), "T ≥ 1"),
        (lambda: area_under_loss([0], [1.0], 2.0), "step 1 or later"),
    ],
)
def test_bad_curves_are_refused(call, message):
    with pytest.raises(StudyError, match=message):
        call()


def test_training_imports_no_pandas_with_it():
    source = Path(curves.__file__).parents[2]
    code = "import sys, activation_study.quantities.curves; print({'pandas', 'scipy'} & set(sys.modules))"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
