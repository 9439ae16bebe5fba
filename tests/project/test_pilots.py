"""The pilot of the steps that a depth needs."""

import numpy as np
import pytest

import document
import pilots
import study_side

LOOKS = [*dict.fromkeys(np.geomspace(1, 3000, 350).round())]


@pytest.fixture
def steps():
    return np.array(LOOKS)


def slope(steps, accuracy, budget):
    third = (steps >= 2 * budget / 3) & (steps <= budget)
    (found, _), *_ = np.linalg.lstsq(np.vander(steps[third], 2), accuracy[third])
    return found


@pytest.mark.parametrize("delta", [0.01, 0.05])
def test_it_is_enough_from_where_the_last_third_is_flat(steps, delta):
    accuracy = np.minimum(steps / 1000, 1) * 0.9
    found = pilots.enough_steps(steps, accuracy, delta)
    before = max(look for look in LOOKS if look < found)
    assert slope(steps, accuracy, found) * found / 3 <= delta < slope(steps, accuracy, before) * before / 3
    assert 1000 < found <= 1500


def test_a_curve_that_is_still_at_chance_is_not_enough(steps):
    found = pilots.enough_steps(steps, np.where(steps < 800, 0.1, 0.9), 0.01)
    assert 800 < found <= 1210


def test_what_rises_to_the_end_needs_more(steps):
    assert pilots.enough_steps(steps, steps / 3000, 0.01) is None


def test_a_fall_is_no_reason_for_more_steps(steps):
    assert pilots.enough_steps(steps, 0.9 - steps / 10_000, 0.01) == min(x for x in LOOKS if x >= pilots.SHORTEST)


def test_the_mean_curve_is_over_evaluation_networks_at_the_selected_rate():
    rows = [
        {"role": role, "learning_rate": rate, "replicate": seed, "step": step, "validation_accuracy": accuracy}
        for role, rate, seed, step, accuracy in (
            ("evaluation", 0.1, 0, 1, 0.2), ("evaluation", 0.1, 1, 1, 0.4), ("evaluation", 0.1, 0, 9, 0.6),
            ("evaluation", 0.1, 1, 9, 0.8), ("evaluation", 0.1, 0, 20, 0.9), ("evaluation", 0.3, 0, 9, 0.0),
            ("tuning", 0.1, 0, 1, 0.0),
        )
    ]  # fmt: skip
    steps, accuracy = pilots.mean_curve(rows, 0.1)
    assert steps.tolist() == [1, 9]
    assert accuracy.tolist() == pytest.approx([0.3, 0.7])


def test_it_trains_what_the_core_trains_for_longer_on_seeds_of_its_own():
    runs = list(pilots.pilot(study_side.DEFAULT.config).runs.values())
    assert len(runs) == len(pilots.DEPTHS) * len(study_side.DEFAULT.config.datasets)
    for run in runs:
        core, own = study_side.core(run.factors.depth), run.factors
        assert own.model_dump() == core.model_dump() | {
            "activation": "relu", "dataset": own.dataset, "steps": pilots.LONGEST, "seed_stream": "pilot",
        }  # fmt: skip
        assert core.steps < own.steps


def test_the_table():
    one = {"dataset": "digits", "depth": 5, "rate": 0.1, "steps": 700, "accuracy": 0.951, "in_the_end": 0.96}
    other = one | {"dataset": "mnist1d", "steps": 1200, "accuracy": 0.5, "in_the_end": 0.51}
    late = other | {"steps": None, "accuracy": None}
    runs = [one, late, one | {"depth": 20}, other | {"depth": 20}]
    text = document.pilots({"longest": 4000, "seeds": 10, "delta": 0.01, "runs": runs})
    assert "| 5 | 700 (95.1%) | more than 4,000 (51.0%) | more than 4,000 |" in text
    assert "| 20 | 700 (95.1%) | 1,200 (50.0%) | 1,200 |" in text
