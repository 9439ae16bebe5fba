"""Which learning rate goes on: by accuracy or by speed, over the tuning seeds."""

import math

import pytest

import small
from activation_study.training.records import Record, Replica
from activation_study.training.selection import ranked, record_area, record_time


def _record(rate, accuracy, loss, replicate=0, status="finished"):
    curve = [(1, math.nan, 9.0, 0.9), (2, math.nan, loss, accuracy)]
    return Record(Replica("tuning", replicate, rate, replicate, None), curve, status=status)


def test_rates_are_ranked_by_mean_accuracy_then_loss_then_size():
    accuracy_first = [_record(0.1, 0.5, 5.0), _record(0.2, 0.4, 0.1)]
    assert ranked(accuracy_first, [0.1, 0.2], "accuracy", 4, 0.9, [1, 2]) == [0.1, 0.2]
    loss_second = [_record(0.1, 0.5, 5.0), _record(0.2, 0.5, 0.1)]
    assert ranked(loss_second, [0.1, 0.2], "accuracy", 4, 0.9, [1, 2]) == [0.2, 0.1]
    smaller_third = [_record(0.2, 0.5, 1.0), _record(0.1, 0.5, 1.0)]
    assert ranked(smaller_third, [0.2, 0.1], "accuracy", 4, 0.9, [1, 2]) == [0.1, 0.2]
    first = [_record(0.1, 0.8, 1.0, 0), _record(0.1, 0.2, 1.0, 1)]
    second = [_record(0.2, 0.6, 1.0, 0), _record(0.2, 0.5, 1.0, 1)]
    assert ranked(first + second, [0.1, 0.2], "accuracy", 4, 0.9, [1, 2]) == [0.2, 0.1], "the mean, not the best"
    assert ranked(accuracy_first, [0.2], "accuracy", 4, 0.9, [1, 2]) == [0.2], "only the rates asked for"


def test_a_diverged_replica_counts_as_guessing():
    lucky = _record(0.2, 0.95, 0.1, status="diverged")
    assert ranked([lucky, _record(0.1, 0.26, 3.0)], [0.1, 0.2], "accuracy", 4, 0.9, [1, 2]) == [0.1, 0.2]
    assert ranked([lucky, _record(0.1, 0.24, 3.0)], [0.1, 0.2], "accuracy", 4, 0.9, [1, 2]) == [0.2, 0.1]
    at_chance = _record(0.1, 0.25, 1.5)  # worse than ln 4 = 1.386
    assert ranked([lucky, at_chance], [0.1, 0.2], "accuracy", 4, 0.9, [1, 2]) == [0.2, 0.1]
    never = Record(Replica("tuning", 0, 0.3, 0, None), [], status="diverged", diverged_step=0)
    assert ranked([never, at_chance], [0.1, 0.3], "accuracy", 4, 0.9, [1, 2]) == [0.3, 0.1]


def _curve(rate, points, replicate=0, status="finished"):
    """A record whose curve has (step, accuracy, loss)."""
    curve = [(step, math.nan, loss, accuracy) for step, accuracy, loss in points]
    return Record(Replica("tuning", replicate, rate, replicate, None), curve, status=status)


def _by_speed(records, rates=(0.1, 0.2), step=100):
    return ranked(records, list(rates), "speed", 4, 0.5, [1, 2, 5, step])


def test_for_speed_the_time_to_the_target_decides_and_not_the_end():
    fast = _curve(0.1, [(0, 0.0, 1.3), (10, 0.5, 1.0), (100, 0.5, 1.0)])
    good = _curve(0.2, [(0, 0.0, 1.3), (10, 0.4, 1.0), (100, 0.9, 0.1)])
    assert _by_speed([fast, good]) == [0.1, 0.2]
    assert ranked([fast, good], [0.1, 0.2], "accuracy", 4, 0.5, [1, 100]) == [0.2, 0.1]


def test_for_speed_times_are_averaged_as_logarithms():
    # Geometric means: sqrt(4 · 100) = 20 against sqrt(25 · 25) = 25; arithmetic ones would be 52 against 25.
    first = [_curve(0.1, [(1, 0.1, 1), (step, 0.5, 1), (200, 0.6, 1)], i) for i, step in enumerate((4, 100))]
    second = [_curve(0.2, [(1, 0.1, 1), (25, 0.5, 1), (200, 0.6, 1)], i) for i in range(2)]
    assert _by_speed(first + second, step=200) == [0.1, 0.2]


def test_for_speed_a_target_never_reached_or_lost_counts_as_the_whole_budget():
    never = _curve(0.1, [(1, 0.1, 1.3), (100, 0.4, 1.2)])
    late = _curve(0.2, [(1, 0.1, 1.3), (99, 0.5, 1.3), (100, 0.5, 1.3)])
    diverged = _curve(0.2, [(1, 0.9, 1.3), (2, 0.9, 1.3)], status="diverged")
    assert _by_speed([never, late]) == [0.2, 0.1]
    assert _by_speed([never, diverged]) == [0.1, 0.2], "equal times: the area under the loss decides"
    assert record_time(diverged, 0.5) == math.inf


def test_for_speed_ties_go_to_the_smaller_area_then_to_the_smaller_rate():
    worse, better = (_curve(rate, [(1, 0.1, 1.3), (100, 0.2, loss)]) for rate, loss in ((0.1, 1.2), (0.2, 1.1)))
    assert _by_speed([worse, better]) == [0.2, 0.1]
    same = _curve(0.2, [(1, 0.1, 1.3), (100, 0.2, 1.2)])
    assert _by_speed([same, worse], rates=(0.2, 0.1)) == [0.1, 0.2]


def test_a_diverged_replicas_area_goes_on_as_guessing():
    record = _curve(0.1, [(1, 0.3, 0.5)], status="diverged")
    low, high = math.log(0.5), math.log(math.log(4))
    expected = ((low + high) / 2 * math.log(10) + high * math.log(10)) / math.log(100)
    assert record_area(record, [1, 10, 100], 4) == pytest.approx(expected)


def test_a_run_selects_for_what_its_config_says():
    """Of one run's tuning seeds, both criteria by hand, from the rows alone."""
    rates = {"momentum": [0.003, 0.03, 0.1, 0.3]}
    for select in ("accuracy", "speed"):
        rows = small.rows(small.run({"select": select}, learning_rates=rates), small.blobs(noise=2.0))
        scores = {}
        for row in rows["runs"]:
            assert row["select"] == select
            if row["role"] == "tuning" and row["status"] == "finished":
                time = min(row["time_to_target"] or math.inf, row["horizon"])
                score = (-row["validation_accuracy"], row["validation_loss"])
                score = score if select == "accuracy" else (math.log(max(time, 1)), row["area_under_loss"])
                scores.setdefault(row["learning_rate"], []).append(score)
        means = {rate: tuple(map(math.fsum, zip(*found, strict=True))) for rate, found in scores.items()}
        assert {row["learning_rate"] for row in rows["runs"] if row["selected"]} == {min(means, key=means.get)}
